// Package query reads what the projections wrote: rows of the SQL read models, the history of streams,
// and how far each read model is. It knows no aggregate: rows have types of their own, and states of the
// past are folded with the aggregate's registered decider.
//
// A read model is an eventual copy of the log. Wait makes a caller read its own writes: it returns once
// the read model has applied the positions that the caller brings along from the answers to its commands.
package query
