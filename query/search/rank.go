package search

// How a word scores where it is found. The tiers are far apart, so that BM25, which bm25Weight scales
// down, decides only within one: a term's BM25 is less than ln(1+N), 19 for a hundred million documents,
// so that it takes a phrase of more than ten rare words to weigh as much as a better place.
const (
	tierKey         = 100
	tierKeyPrefix   = 80
	tierName        = 60
	tierNamePrefix  = 40
	tierNotes       = 20
	tierNotesPrefix = 10

	bm25Weight = 0.1
)
