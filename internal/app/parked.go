package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/cqrsflow/cqrsflow/consumers/postgres"
	"github.com/cqrsflow/cqrsflow/consumers/reactor"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
	"github.com/cqrsflow/cqrsflow/services/ops"
)

// Parked is an event that a projection or a reactor, which Projection names then, has set aside, as the operations port shows it.
type Parked struct {
	Projection string         `json:"projection"`
	Version    int            `json:"version"`
	Aggregate  string         `json:"aggregate"`
	Stream     event.StreamID `json:"stream"`
	Source     runner.Source  `json:"source"`
	Partition  int32          `json:"partition"`
	Offset     int64          `json:"offset"`
	Reason     string         `json:"reason"`
	Attempts   int            `json:"attempts"`
	// Retry: it has been marked, and its partition's worker will try it again.
	Retry    bool      `json:"retry"`
	ParkedAt time.Time `json:"parkedAt"`
}

// ParkedRequest chooses parked events: those of a stream, or, where Stream is empty, all of a projection.
type ParkedRequest struct {
	Projection string         `json:"projection"`
	Aggregate  string         `json:"aggregate"`
	Stream     event.StreamID `json:"stream"`
}

// ParkedResult says how many events were marked or given up.
type ParkedResult struct {
	Events int `json:"events"`
}

// handleParked adds what an operator does with parked events to the operations port: what an embedded store
// locks can only be done in here.
func (p *process) handleParked() {
	p.ops.Handle("GET /parked", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		list, err := p.parked(r.Context())
		reply(w, list, err)
	}))
	act := func(pattern string, do func(context.Context, ParkedRequest) (int, error)) {
		p.ops.Handle(pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var req ParkedRequest
			d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
			d.DisallowUnknownFields()
			if err := d.Decode(&req); err != nil {
				reply(w, nil, fmt.Errorf("%w: %w", event.ErrMalformed, err))
				return
			}
			n, err := do(r.Context(), req)
			if err == nil && n == 0 {
				err = fmt.Errorf("%w: nothing of that is parked", event.ErrNotFound)
			}
			reply(w, ParkedResult{n}, err)
		}))
	}
	act("POST /parked/retry", p.retryParked)
	act("POST /parked/drop", p.dropParked)
}

// reply answers on the operations port.
func reply(w http.ResponseWriter, body any, err error) {
	switch {
	case err == nil:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(body)
	case errors.Is(err, event.ErrMalformed), errors.Is(err, event.ErrInvalid):
		ops.Problem(w, http.StatusBadRequest, "malformed_request", err.Error())
	case errors.Is(err, event.ErrNotFound):
		ops.Problem(w, http.StatusNotFound, "not_found", err.Error())
	case errors.Is(err, event.ErrUnavailable):
		ops.Problem(w, http.StatusServiceUnavailable, "unavailable", err.Error())
	default:
		ops.Problem(w, http.StatusInternalServerError, "internal", err.Error())
	}
}

func (p *process) parked(ctx context.Context) ([]Parked, error) {
	out := []Parked{}
	if p.store != nil {
		rows, err := p.store.Parked(ctx, postgres.Selection{})
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			out = append(out, parkedOf(r.Projection, r.Version, r.Aggregate, r.Source, r.Partition, r.Pointer))
		}
	}
	if p.search != nil {
		err := p.search.each(ctx, func(version int, s searchParking) error {
			rows, err := s.Parked(ctx)
			for _, r := range rows {
				if !r.Dropped {
					out = append(out, parkedOf(searchindex.Name, version, r.Aggregate, r.Source, r.Partition, r.Pointer))
				}
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	for _, r := range p.reactors {
		rows, err := r.Parked(ctx)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			if !row.Dropped {
				out = append(out, parkedOf(r.Name(), 1, row.Aggregate, runner.Events, row.Partition, row.Pointer))
			}
		}
	}
	return out, nil
}

// reactor returns the reactor of that name; nil where this process has none.
func (p *process) reactor(name string) *reactor.Reactor {
	for _, r := range p.reactors {
		if r.Name() == name {
			return r
		}
	}
	return nil
}

func parkedOf(projection string, version int, aggregate string, source runner.Source, partition int32, p runner.Pointer) Parked {
	return Parked{Projection: projection, Version: version, Aggregate: aggregate, Stream: p.Stream, Source: source, Partition: partition, Offset: p.Offset,
		Reason: p.Reason, Attempts: p.Attempts, Retry: p.Retry, ParkedAt: p.ParkedAt.UTC()}
}

func (p *process) retryParked(ctx context.Context, r ParkedRequest) (int, error) {
	if r.Projection == "" {
		return 0, fmt.Errorf("%w: projection is missing", event.ErrInvalid)
	}
	if re := p.reactor(r.Projection); re != nil {
		return re.Retry(ctx, r.Aggregate, r.Stream)
	}
	if r.Projection != searchindex.Name {
		return p.inStore(r, func(s postgres.Selection) (int, error) { return p.store.Retry(ctx, s) })
	}
	if p.search == nil {
		return 0, notHere(r)
	}
	total := 0
	err := p.search.each(ctx, func(_ int, s searchParking) error {
		streams := []event.StreamID{r.Stream}
		if r.Stream == "" {
			rows, err := s.Parked(ctx)
			if err != nil {
				return err
			}
			streams = nil
			for _, row := range rows {
				if !row.Dropped && !slices.Contains(streams, row.Stream) {
					streams = append(streams, row.Stream)
				}
			}
		}
		for _, stream := range streams {
			n, err := s.Retry(ctx, stream)
			if total += n; err != nil {
				return err
			}
		}
		return nil
	})
	return total, err
}

func (p *process) dropParked(ctx context.Context, r ParkedRequest) (int, error) {
	if r.Projection == "" || r.Stream == "" {
		return 0, fmt.Errorf("%w: projection and stream are needed", event.ErrInvalid)
	}
	if re := p.reactor(r.Projection); re != nil {
		return re.Drop(ctx, r.Aggregate, r.Stream)
	}
	if r.Projection != searchindex.Name {
		return p.inStore(r, func(s postgres.Selection) (int, error) { return p.store.Drop(ctx, s) })
	}
	if p.search == nil {
		return 0, notHere(r)
	}
	total := 0
	err := p.search.each(ctx, func(_ int, s searchParking) error {
		n, err := s.Drop(ctx, r.Stream)
		total += n
		return err
	})
	return total, err
}

func (p *process) inStore(r ParkedRequest, do func(postgres.Selection) (int, error)) (int, error) {
	known := slices.ContainsFunc(sqlProjections(), func(s postgres.Projection) bool { return s.Model.Name() == r.Projection })
	if !known || p.store == nil {
		return 0, notHere(r)
	}
	return do(postgres.Selection{Projection: r.Projection, Aggregate: r.Aggregate, Stream: r.Stream})
}

func notHere(r ParkedRequest) error {
	return fmt.Errorf("%w: this process has no store of a projection %q, and no reactor of that name", event.ErrNotFound, r.Projection)
}
