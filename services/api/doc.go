// Package api is the HTTP API of commands and queries. The contract is in the OpenAPI document that it
// serves at /openapi.json, and for people at /docs.
//
// A registered aggregate has its command endpoints, its history and its documentation from its
// registration and the descriptors of its commands; nothing here is written for it. Only what reads a
// concrete read model (orders, customers, sales, search) is. Everything that leaves as JSON is a type of
// dto.go: neither wire messages nor rows are ever shown as they are.
//
// Not obvious: handlers return errors and problemOf alone decides what callers learn of them. Bodies of
// commands are parsed here (so that what cannot be read is refused at once) but validated by the
// processor, which has to do it anyway for commands that were published to the topic directly.
package api
