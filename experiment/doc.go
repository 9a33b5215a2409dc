// Package experiment says what an experiment on live traffic is: its plan, and how far it is, as they are read from the aggregate's
// JSON. What follows from a plan is computed by the packages below: assign says which variant a unit sees, stats whether one is
// better, results puts the two together with what was measured.
package experiment
