package elastic

import "github.com/cqrsflow/cqrsflow/internal/searchindex"

// Names are those of the indexes and aliases of one version of the read model.
type Names struct {
	Version int
	// Index holds the documents.
	Index string
	// Write is the alias of Index that the sink writes through: where somebody deleted the index, no
	// index is made by mistake.
	Write string
	// ProgressIndex holds the progress of each partition.
	ProgressIndex string
	// Read and ProgressAlias are the aliases by which readers see the documents and the progress of the
	// active version. They move together.
	Read, ProgressAlias string
	// RegistryIndex says which versions there are.
	RegistryIndex string
}

func namesOf(prefix string, version int) Names {
	index := prefix + "-" + searchindex.IndexName(version)
	read := prefix + "-" + searchindex.Name
	return Names{Version: version, Index: index, Write: index + "-write", ProgressIndex: index + "-progress",
		Read: read, ProgressAlias: read + "-progress", RegistryIndex: read + "-versions"}
}

// At returns a client of another version, on the same connections.
func (c *Client) At(version int) *Client {
	other := *c
	other.Names = namesOf(c.cfg.Prefix, version)
	return &other
}
