// Package policy says who may do what: Cedar policies in files, checked against a schema that is made of the registered
// aggregates, and asked before a command is decided and before a query is answered. What no policy permits is denied.
//
// It decides on what it is told and knows no server. Set is the policies at one time; Engine keeps the current one and
// follows its files.
package policy
