// Package harness runs cqrsflow as its users do, for tests: the binary, built once, as processes of their own
// that are configured by flags and variables, killed and started again, and asked over HTTP, Kafka, SQL and the
// command line.
//
// Nothing here waits for a fixed time: Eventually asks until an answer comes or a deadline has passed, and the
// last answer is in the failure. Every process ends with its test, however that ends.
package harness
