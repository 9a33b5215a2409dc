// Package planted is for tests that plant values and then look for them wherever something is kept: what people entrust to
// cqrsflow must stand in clear nowhere. It knows the forms in which a value can stand, and reads Kafka, the local stores and
// PostgreSQL as they are.
package planted
