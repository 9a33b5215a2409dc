// Package assign says which variant of an experiment a unit sees: a customer, a stream, a user. The answer is a pure
// function of the plan and the unit, computed anywhere without a lookup, the same in every process and language.
// How, byte by byte: docs/format/assignment.md.
package assign
