package policy

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/event/principal"
)

// Config says where an Engine has its policies from.
type Config struct {
	// Vocabulary is what they can speak of. Required.
	Vocabulary *Vocabulary
	// Dir has the files *.cedar; empty: Defaults.
	Dir string
	// Anonymous are the roles of who has not signed; none.
	Anonymous []string
	// Every is how often the files are looked at; at least 10 ms, 5 s.
	Every time.Duration
	// Reloaded is called after the files have changed: whether the new policies are used. Optional.
	Reloaded func(used bool)
	// Logger; slog.Default().
	Logger *slog.Logger
}

// Engine decides by the policies of a folder, as they are now. Make it with New, and keep Run going for changes to be seen.
// It is safe for concurrent use, and decides without waiting.
type Engine struct {
	cfg Config
	set atomic.Pointer[Set]
	// seen is what was last read, used or not.
	seen []Source
}

// New reads the policies. It fails where one is wrong: errors wrap event.ErrConfig and name file and line.
func New(cfg Config) (*Engine, error) {
	if cfg.Every == 0 {
		cfg.Every = 5 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Vocabulary == nil || cfg.Every < 10*time.Millisecond {
		return nil, fmt.Errorf("%w: policies: Vocabulary is required, and Every must be at least 10ms", event.ErrConfig)
	}
	e := &Engine{cfg: cfg}
	var err error
	if e.seen, err = e.read(); err != nil {
		return nil, err
	}
	if err := e.use(e.seen); err != nil {
		return nil, err
	}
	return e, nil
}

func (e *Engine) read() ([]Source, error) {
	if e.cfg.Dir == "" {
		return Defaults(), nil
	}
	return ReadDir(e.cfg.Dir)
}

func (e *Engine) use(sources []Source) error {
	s, err := Parse(e.cfg.Vocabulary, sources)
	if err == nil {
		s, err = s.WithAnonymous(e.cfg.Anonymous)
	}
	if err != nil {
		return err
	}
	e.set.Store(s)
	return nil
}

// Run follows the files until ctx ends, and returns nil then. Policies that are wrong change nothing: those before stay, and
// the log says what is wrong.
func (e *Engine) Run(ctx context.Context) error {
	if e.cfg.Dir == "" {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(e.cfg.Every)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		sources, err := e.read()
		if err != nil { // said once, however long it lasts
			if !failing {
				e.changed(err)
			}
			failing = true
			continue
		}
		if !failing && slices.EqualFunc(sources, e.seen, func(a, b Source) bool { return a.Name == b.Name && bytes.Equal(a.Text, b.Text) }) {
			continue
		}
		failing, e.seen = false, sources
		e.changed(e.use(sources))
	}
}

// changed says what became of a change.
func (e *Engine) changed(err error) {
	if err != nil {
		e.cfg.Logger.Error("the policies have changed and cannot be used; those before stay", "dir", e.cfg.Dir, "error", err)
	} else {
		e.cfg.Logger.Info("the policies have changed", "dir", e.cfg.Dir, "policies", e.set.Load().Len())
	}
	if e.cfg.Reloaded != nil {
		e.cfg.Reloaded(err == nil)
	}
}

// Command decides about a command. What keeps policies from being evaluated is logged, and the answer is no.
func (e *Engine) Command(r *Request) Decision {
	d := e.set.Load().Command(r)
	if d.Err != nil {
		e.cfg.Logger.Error("a command is denied because policies could not be evaluated", "command", r.Command, "stream", string(r.Stream), "error", d.Err)
	}
	return d
}

// Possible says whether p may do a command at all: see Set.Possible.
func (e *Engine) Possible(p principal.Principal, command string) Decision {
	return e.set.Load().Possible(p, command)
}

// Scope says which rows of a query's read model p may see: see Set.Scope.
func (e *Engine) Scope(p principal.Principal, query string) Scope {
	return e.set.Load().Scope(p, query)
}
