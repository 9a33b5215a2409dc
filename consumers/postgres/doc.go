// Package postgres keeps read models in PostgreSQL: a sink that commits a batch's changes, what was
// parked, and the checkpoint in one SQL transaction, so that every event counts exactly once.
//
// Every version of a read model has a schema of its own, such as orders_v1, made by its own
// migrations. Readers use views in the schema public, which show the active version: a rebuild fills
// the next version beside it and switches the views when it has caught up (Activate).
//
// What is not obvious: the checkpoint is compare-and-set, first thing in the transaction, so that its
// row's lock also orders two that both believe to own a partition. A drain of parked events leaves the
// checkpoint as it is; there the pointers are what is compared: they must all still be there. A pointer
// to an event that an operator gave up moves to cqrsflow.dropped and permits its stream one gap.
package postgres
