// Package integration holds the tests of the whole: the binary as its users run it, on embedded servers (`dev`) and, where
// Docker answers, on real ones in containers. CQRSFLOW_INTEGRATION=require makes a missing Docker a failure;
// CQRSFLOW_CDNOW=full imports all purchases instead of the first 3,000.
package integration
