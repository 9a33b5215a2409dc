// Package record is the record format: CloudEvents 1.0 in the Kafka binding's binary mode, as headers
// around a body. Everything that writes to or reads from cqrsflow's topics goes through it.
//
// Reading never allocates for what it recognises, and strings of types are interned. Writing goes
// through an Encoder, which carves headers and their bytes out of slabs that live as long as a batch.
package record
