// Package compare judges a version of an aggregate's Decide before it serves anyone: it replays the commands that Kafka
// has kept, with what became of them, through two variants, and reports where they differ, what that means in numbers,
// and which is faster. It only reads.
//
// A partition is replayed by one goroutine: it joins the partition's commands, outcomes and events by the commands' offsets
// (join), folds the events into states whose number in memory is bounded (states), and hands batches of decisions to
// the two subjects, each a goroutine of its own, so that one that never returns can be left behind. What came
// of it is added up in a tally; tallies of partitions are merged into the Report.
package compare
