package producer

import (
	"log/slog"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/cqrsflow/cqrsflow/internal/partlog"
	"github.com/cqrsflow/cqrsflow/topology"
)

// hanging ends transactions of processors that their coordinators have forgotten.
func (p *Processor) hanging(log *slog.Logger) partlog.Hanging {
	return partlog.Hanging{Admin: p.admin, Kafka: p.cfg.Kafka, Prefix: p.cfg.Group + "-", Log: log}
}

// wrote are the partitions that the worker's last transaction may be in: the group's offsets, and what it owns.
func (w *worker) wrote(offsets kadm.TopicsSet) kadm.TopicsSet {
	in := kadm.TopicsSet{}
	in.Merge(offsets)
	w.mu.Lock()
	defer w.mu.Unlock()
	for tp := range w.mu.owned {
		topics := topology.TopicsOf(w.p.cfg.Prefix, w.p.types[tp.topic].Name)
		in.Add(topics.Events, tp.number)
		in.Add(topics.Outcomes, tp.number)
	}
	return in
}
