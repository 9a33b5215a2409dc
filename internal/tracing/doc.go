// Package tracing makes OpenTelemetry spans of what records pass through. A record carries its trace as a W3C traceparent;
// a span is that record's child, and gives the traceparent that records it causes carry on. So one trace goes
// from a request over its command and its events to what is made of them, through any number of processes.
package tracing
