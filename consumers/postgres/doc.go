// Package postgres keeps read models in PostgreSQL: a sink that commits a batch's changes, what was
// parked, and the checkpoint in one SQL transaction, so that every event counts exactly once.
//
// Every version of a read model (package rebuild) has a schema of its own, such as orders_v1, made by the
// model's migrations. Readers use views in the schema public, which show the active version; a switch
// changes the views in the transaction in which it has seen that the new version has caught up.
//
// What is not obvious: the checkpoint is compare-and-set, first thing in the transaction, so that its
// row's lock also orders two that both believe to own a partition. A drain of parked events leaves the
// checkpoint as it is; there the pointers are what is compared: they must all still be there. A pointer
// to an event that an operator gave up moves to cqrsflow.dropped and permits its stream one gap.
//
// Each batch holds a lock of its version, shared, and a switch and a drop hold it alone. A batch that does
// not get it is tried again from the beginning, so that it waits without a connection.
package postgres
