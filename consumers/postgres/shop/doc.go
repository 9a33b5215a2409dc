// Package shop is the reference read models in SQL: orders, customers and daily sales. They know the
// events of orders and customers; the sink around them does not.
//
// Each folds a batch to final rows, from the rows that are stored, and writes them with one statement a
// table, sorted by key. Columns are passed as arrays: a statement's text is always the same, and the
// server plans it once a connection.
package shop
