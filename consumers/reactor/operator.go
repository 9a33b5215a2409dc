package reactor

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/partlog"
	"github.com/cqrsflow/cqrsflow/topology"
)

// ParkedEvent is an event that the reactor has set aside.
type ParkedEvent struct {
	Aggregate string
	Partition int32
	// Pointer is as an operator left it: Retry and Dropped where it has been marked and the partition's owner
	// has not come to it yet.
	runner.Pointer
}

// Name is the reactor's name.
func (r *Reactor) Name() string { return r.cfg.Name }

// Parked lists the events that the reactor has set aside, on all partitions, whoever owns them: those that wait behind
// a refused one included, by aggregate type, partition and offset. It needs no running reactor, only Kafka. Errors
// wrap event.ErrUnavailable or event.ErrCorrupt.
func (r *Reactor) Parked(ctx context.Context) ([]ParkedEvent, error) {
	var out []ParkedEvent
	err := r.read(ctx, func(aggregate string, place place, p *parking) {
		for _, ptr := range p.list() {
			out = append(out, ParkedEvent{aggregate, place.partition, ptr.Pointer})
		}
	})
	slices.SortFunc(out, func(a, b ParkedEvent) int {
		return cmp.Or(cmp.Compare(a.Aggregate, b.Aggregate), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	return out, err
}

// Retry has the parked events of a stream tried again, in order, by the owner of their partition; with an empty
// aggregate and stream those of all. It returns how many there are; what has been given up is not among them.
func (r *Reactor) Retry(ctx context.Context, aggregate string, stream event.StreamID) (int, error) {
	return r.mark(ctx, retry, aggregate, stream)
}

// Drop gives up the event that a stream is parked by, and has what waits behind it tried. It returns how many events
// are given up: 1, or 0 where nothing of the stream is parked. Of several operators who drop the same event one counts.
func (r *Reactor) Drop(ctx context.Context, aggregate string, stream event.StreamID) (int, error) {
	if aggregate == "" || stream == "" {
		return 0, fmt.Errorf("%w: dropping a parked event needs an aggregate type and a stream", event.ErrInvalid)
	}
	return r.mark(ctx, drop, aggregate, stream)
}

// mark writes marks, outside any transaction: pointers are the partition's owner's to change.
func (r *Reactor) mark(ctx context.Context, a action, aggregate string, stream event.StreamID) (int, error) {
	var recs []*kgo.Record
	var failed error
	n := 0
	err := r.read(ctx, func(of string, at place, p *parking) {
		if aggregate != "" && of != aggregate {
			return
		}
		for s, l := range p.lots {
			if stream != "" && s != stream {
				continue
			}
			if a == retry && p.wish(s) == drop { // what has been given up stays so; what waits behind it is tried anyway
				n += len(*l) - 1
				continue
			}
			first := (*l)[0]
			rec, err := at.mark(r.cfg.Name, s, mark{a, first.Offset, first.Attempts})
			if err != nil {
				failed = err
				continue
			}
			recs = append(recs, rec)
			if n += len(*l); a == drop {
				n -= len(*l) - 1
			}
		}
	})
	if err = cmp.Or(err, failed); err != nil {
		return 0, err
	}
	if len(recs) == 0 {
		return n, nil
	}
	cl, err := kgo.NewClient(append(slices.Clip(r.cfg.Client), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		return 0, fmt.Errorf("%w: reactor %s: Kafka client: %w", event.ErrConfig, r.cfg.Name, err)
	}
	defer cl.Close()
	if err := cl.ProduceSync(ctx, recs...).FirstErr(); err != nil {
		return 0, fmt.Errorf("%w: reactor %s: mark parked events: %w", event.ErrUnavailable, r.cfg.Name, err)
	}
	return n, nil
}

// read folds what is committed of the parked topics and hands it over, partition by partition.
func (r *Reactor) read(ctx context.Context, f func(aggregate string, at place, p *parking)) error {
	fail := func(err error) error {
		return fmt.Errorf("%w: reactor %s: parked events: %w", event.ErrUnavailable, r.cfg.Name, err)
	}
	cl, err := kgo.NewClient(r.cfg.Client...)
	if err != nil {
		return fmt.Errorf("%w: reactor %s: Kafka client: %w", event.ErrConfig, r.cfg.Name, err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	for _, aggregate := range r.topics {
		topic := topology.TopicsOf(r.cfg.Prefix, aggregate).Parked
		ends, err := adm.ListCommittedOffsets(ctx, topic)
		if err == nil {
			err = ends.Error()
		}
		if err != nil {
			return fail(err)
		}
		reading, ctx := errgroup.WithContext(ctx)
		var found []struct {
			at place
			p  *parking
		}
		ends.Each(func(end kadm.ListedOffset) {
			at, p := place{topic, end.Partition}, newParking(r.cfg.Name)
			found = append(found, struct {
				at place
				p  *parking
			}{at, p})
			span := partlog.Span{Topic: topic, Partition: end.Partition, To: end.Offset}
			reading.Go(func() error { return partlog.Read(ctx, r.cfg.Client, span, partlog.Settled(adm, span), nil, p.fold) })
		})
		if err := reading.Wait(); err != nil {
			return fmt.Errorf("reactor %s: parked events: %w", r.cfg.Name, err)
		}
		for _, of := range found {
			f(aggregate, of.at, of.p)
		}
	}
	return nil
}
