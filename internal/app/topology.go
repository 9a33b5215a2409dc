package app

import (
	"github.com/cqrsflow/cqrsflow/internal/config"
	"github.com/cqrsflow/cqrsflow/topology"
)

// TopologyConfig is what the settings say about the topics.
func TopologyConfig(c *config.Settings) topology.Config {
	return topology.Config{
		Prefix:           c.General.Prefix,
		Partitions:       int32(c.Topology.Partitions),
		Replication:      int16(c.Topology.Replication),
		CommandRetention: c.Topology.CommandRetention,
	}
}
