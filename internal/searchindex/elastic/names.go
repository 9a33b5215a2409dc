package elastic

import "github.com/cqrsflow/cqrsflow/internal/searchindex"

// Names are those of the indexes and aliases of one version of the read model.
type Names struct {
	// Index holds the documents.
	Index string
	// Write is the alias of Index that the sink writes through: where somebody deleted the index, no
	// index is made by mistake.
	Write string
	// Read is the alias that readers search. It is of the active version.
	Read string
	// ProgressIndex holds the progress of each partition.
	ProgressIndex string
}

func namesOf(prefix string) Names {
	index := prefix + "-" + searchindex.IndexName(searchindex.Version)
	return Names{Index: index, Write: index + "-write", Read: prefix + "-" + searchindex.Name, ProgressIndex: index + "-progress"}
}
