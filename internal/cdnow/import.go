package cdnow

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/cqrsflow/cqrsflow/event"
)

// Publisher takes commands without waiting for their outcomes.
type Publisher interface {
	// Enqueue takes a command, in order of the calls for each stream; it blocks while too many are on their
	// way. Where it returns nil, done is called exactly once, from any goroutine; else never.
	Enqueue(ctx context.Context, aggregate string, cmd event.Command, contentType string, body []byte, done func(event.Outcome, error)) error
}

// Report counts commands by what became of them.
type Report struct {
	Totals
	// Accepted are new. Replayed were accepted by an earlier import. Present were refused because what they
	// ask for is done, by an import so long ago that its command IDs are forgotten.
	Accepted int `json:"accepted"`
	Replayed int `json:"replayed"`
	Present  int `json:"present"`
	// Refused counts the others by code. Failed got no outcome.
	Refused map[string]int `json:"refused"`
	Failed  int            `json:"failed"`
}

// Unchanged reports whether the import found everything there already.
func (r *Report) Unchanged() bool { return r.Accepted == 0 && r.Failed == 0 && len(r.Refused) == 0 }

// String is one sentence for a person.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d purchases of %d customers, %d CDs, $%d.%02d: ", r.Purchases, r.Customers, r.Quantity, r.Cents/100, r.Cents%100)
	if r.Unchanged() {
		b.WriteString("all there already, nothing changed")
		return b.String()
	}
	fmt.Fprintf(&b, "%d commands accepted", r.Accepted)
	if n := r.Replayed + r.Present; n > 0 {
		fmt.Fprintf(&b, ", %d done before", n)
	}
	for _, code := range slices.Sorted(maps.Keys(r.Refused)) {
		fmt.Fprintf(&b, ", %d refused (%s)", r.Refused[code], code)
	}
	if r.Failed > 0 {
		fmt.Fprintf(&b, ", %d without an outcome", r.Failed)
	}
	return b.String()
}

// ErrIncomplete: some commands were refused or got no outcome.
var ErrIncomplete = errors.New("import incomplete")

// rounds is how often purchases whose commands got no outcome are published again. The publisher retries by
// itself what may be retried; this bridges a processor that was away for longer than a command waits.
const rounds = 3

// Import publishes each purchase as place, then pay, without waiting for outcomes in between; it returns when
// every command has one. answered, where not nil, is called with the number of commands that got theirs, from
// several goroutines. The error wraps ErrIncomplete, or is ctx's; the report is right in any case.
func Import(ctx context.Context, p Publisher, all []Purchase, answered func(n int)) (Report, error) {
	im := &importer{publisher: p, answered: answered, all: all, results: make([][2]result, len(all))}
	todo := make([]int, len(all))
	for i := range todo {
		todo[i] = i
	}
	var err error
	for range rounds {
		if err = im.publish(ctx, todo); err != nil {
			break
		}
		if todo = im.unfinished(todo); len(todo) == 0 {
			break
		}
	}
	r := im.report()
	if err == nil && (r.Failed > 0 || len(r.Refused) > 0) {
		err = ErrIncomplete
	}
	if err != nil && im.first != nil {
		err = fmt.Errorf("%w; first: %w", err, im.first)
	}
	return r, err
}

type importer struct {
	publisher Publisher
	answered  func(int)
	all       []Purchase
	// results are written by the publisher's callbacks, one each, and read when a round has ended.
	results [][2]result

	once  sync.Once
	first error
}

// result is what became of a command; the zero result is "no outcome".
type result struct {
	kind     event.Kind
	replayed bool
	code     string
	// counted: the caller has been told of it in an earlier round.
	counted bool
}

const (
	place = iota
	pay
)

// publish sends the commands of some purchases and waits for all that were taken.
func (im *importer) publish(ctx context.Context, purchases []int) error {
	var outstanding sync.WaitGroup
	defer outstanding.Wait()
	send := func(i, which int, c event.Command, body []byte) error {
		outstanding.Add(1)
		err := im.publisher.Enqueue(ctx, Aggregate, c, contentType, body, func(o event.Outcome, err error) {
			defer outstanding.Done()
			im.done(i, which, o, err)
		})
		if err != nil {
			outstanding.Done()
			return fmt.Errorf("publish %s: %w", c.ID, err)
		}
		return nil
	}
	for _, i := range purchases {
		p := &im.all[i]
		c, body, err := p.place()
		if err != nil {
			return fmt.Errorf("order %s: %w", p.Order(), err)
		}
		if err := send(i, place, c, body); err != nil {
			return err
		}
		if err := send(i, pay, p.pay(), nil); err != nil {
			return err
		}
	}
	return nil
}

func (im *importer) done(i, which int, o event.Outcome, err error) {
	r := &im.results[i][which]
	id := im.all[i].Order()
	switch {
	case err != nil:
		im.once.Do(func() { im.first = fmt.Errorf("order %s: %w", id, err) })
		return
	case r.kind == event.Accepted:
		return // a later round replays it
	}
	was := r.counted
	*r = result{kind: o.Kind, replayed: o.Replayed, code: o.Code, counted: true}
	if o.Kind != event.Accepted && !r.present(which) {
		im.once.Do(func() { im.first = fmt.Errorf("order %s: %s: %s", id, o.Code, o.Message) })
	}
	if im.answered != nil && !was {
		im.answered(1)
	}
}

// present reports whether the command was refused because what it asks for is done.
func (r *result) present(which int) bool {
	return r.kind == event.Rejected && (which == place && r.code == "order_already_placed" || which == pay && r.code == "order_already_paid")
}

// unfinished are the purchases with a command that got no outcome: both are published again, since a
// payment without its order was rejected.
func (im *importer) unfinished(purchases []int) []int {
	return slices.DeleteFunc(slices.Clone(purchases), func(i int) bool {
		return im.results[i][place].kind != 0 && im.results[i][pay].kind != 0
	})
}

func (im *importer) report() Report {
	r := Report{Totals: Sum(im.all), Refused: map[string]int{}}
	for i := range im.results {
		for which := range im.results[i] {
			switch res := &im.results[i][which]; {
			case res.kind == 0:
				r.Failed++
			case res.kind == event.Accepted && res.replayed:
				r.Replayed++
			case res.kind == event.Accepted:
				r.Accepted++
			case res.present(which):
				r.Present++
			default:
				r.Refused[res.code]++
			}
		}
	}
	return r
}
