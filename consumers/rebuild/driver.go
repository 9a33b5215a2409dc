package rebuild

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
)

// Config configures a Driver. All but Every are required.
type Config struct {
	// Runner is that of the projection's runners, but for Version and Sink. Its Logger is the driver's, too.
	Runner runner.Config
	// Shape is that of this program's code.
	Shape int
	Store Store
	// Admin asks Kafka where the log ends.
	Admin *kadm.Client
	// Every (default 1 s) is how often the store is asked what is wanted.
	Every time.Duration
}

// Driver runs a projection in one process: a runner for each version that there is to be fed. Make it
// with New. Its methods are safe for concurrent use.
type Driver struct {
	cfg  Config
	log  *slog.Logger
	wake chan struct{}
	// failed has the error of a runner that ended by itself.
	failed chan error
	ended  sync.WaitGroup

	mu struct {
		sync.Mutex
		known    bool
		versions []Version
		running  map[int]*running
		trouble  string // why the store could not be asked, or a version not be begun
	}
}

type running struct {
	runner *runner.Runner
	stop   context.CancelFunc
}

// New checks the configuration. Errors wrap event.ErrConfig.
func New(cfg Config) (*Driver, error) {
	cfg.Every = cmp.Or(cfg.Every, time.Second)
	log := cfg.Runner.Logger
	if log == nil {
		log = slog.Default()
	}
	switch {
	case cfg.Runner.Name == "", cfg.Store == nil, cfg.Admin == nil:
		return nil, fmt.Errorf("%w: driver of projection %q: Runner.Name, Store and Admin must be set", event.ErrConfig, cfg.Runner.Name)
	case cfg.Shape < 1:
		return nil, fmt.Errorf("%w: driver of projection %q: Shape is %d; it must be 1 or more", event.ErrConfig, cfg.Runner.Name, cfg.Shape)
	}
	d := &Driver{cfg: cfg, log: log.With("projection", cfg.Runner.Name), wake: make(chan struct{}, 1), failed: make(chan error, 1)}
	d.mu.running = map[int]*running{}
	return d, nil
}

// Run feeds what there is to be fed until ctx ends; then the runners finish their batches. It returns nil
// after that, or the error of a runner that could not go on.
func (d *Driver) Run(ctx context.Context) error {
	defer d.ended.Wait()
	running, stop := context.WithCancel(ctx)
	defer stop()
	tick := time.NewTicker(d.cfg.Every)
	defer tick.Stop()
	for {
		again := d.look(running)
		if again {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-d.failed:
			return err
		case <-d.wake:
		case <-tick.C:
		}
	}
}

// Wake has the store asked now.
func (d *Driver) Wake() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// look does what the store says is wanted, as far as it can be done now. It reports whether that has
// changed what is wanted.
func (d *Driver) look(ctx context.Context) (again bool) {
	versions, err := d.cfg.Store.Versions(ctx)
	if err != nil {
		d.note(ctx, "the versions cannot be read", err)
		return false
	}
	d.mu.Lock()
	d.mu.known, d.mu.versions = true, versions
	for number, r := range d.mu.running {
		if !slices.ContainsFunc(versions, func(v Version) bool { return v.Number == number && d.feeds(v) }) {
			d.log.Info("a version is not fed any more", "version", number)
			r.stop()
			delete(d.mu.running, number)
		}
	}
	d.mu.Unlock()
	fine := true
	defer func() {
		if fine {
			d.note(ctx, "", nil)
		}
	}()
	for _, v := range versions {
		if !d.feeds(v) {
			continue
		}
		r, err := d.runs(ctx, v)
		if err != nil {
			fine = false
			d.note(ctx, fmt.Sprintf("version %d cannot be fed", v.Number), err)
			continue
		}
		r.Exact(v.State == Building)
		if v.Healing > 0 {
			r.Heal()
		}
		if v.State != Building {
			continue
		}
		switched, err := d.cfg.Store.Switch(ctx, v.Number, d.ends)
		if err != nil {
			fine = false
			d.note(ctx, fmt.Sprintf("version %d cannot be switched to", v.Number), err)
			continue
		}
		if switched {
			d.log.Info("readers see another version now", "version", v.Number)
			return true
		}
	}
	return false
}

func (d *Driver) ends(ctx context.Context) ([]runner.End, error) {
	return d.cfg.Runner.Ends(ctx, d.cfg.Admin)
}

// feeds reports whether a version is to be fed by this program.
func (d *Driver) feeds(v Version) bool { return v.State != Retired && v.Shape == d.cfg.Shape }

// runs returns the runner of a version, which it starts where there is none yet.
func (d *Driver) runs(ctx context.Context, v Version) (*runner.Runner, error) {
	d.mu.Lock()
	have := d.mu.running[v.Number]
	d.mu.Unlock()
	if have != nil {
		return have.runner, nil
	}
	sink, err := d.cfg.Store.Prepare(ctx, v.Number)
	if err != nil {
		return nil, err
	}
	cfg := d.cfg.Runner
	cfg.Version, cfg.Sink = v.Number, sink
	r, err := runner.New(cfg)
	if err != nil {
		d.fail(err)
		return nil, err
	}
	if v.State == Building {
		d.log.Info("a version is being built", "version", v.Number)
	}
	serving, stop := context.WithCancel(ctx)
	r.Exact(v.State == Building) // before its first batch
	d.ended.Go(func() {
		defer stop()
		err := r.Run(serving)
		if err == nil && serving.Err() == nil {
			err = fmt.Errorf("projection %s: the runner ended by itself", d.cfg.Runner.Name)
		}
		if err != nil {
			d.fail(err)
		}
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.running[v.Number] = &running{r, stop}
	return r, nil
}

func (d *Driver) fail(err error) {
	select {
	case d.failed <- err:
	default:
	}
}

// note keeps what went wrong, for Ready, and logs it where it is new; nil is that nothing did.
func (d *Driver) note(ctx context.Context, what string, err error) {
	if ctx.Err() != nil || errors.Is(err, event.ErrNotFound) { // the version was dropped meanwhile
		return
	}
	trouble := ""
	if err != nil {
		trouble = fmt.Sprintf("%s: %v", what, err)
	}
	d.mu.Lock()
	before := d.mu.trouble
	d.mu.trouble = trouble
	d.mu.Unlock()
	if trouble != "" && trouble != before {
		d.log.Warn(what+"; trying again", "error", err)
	}
}

// Name is the projection's.
func (d *Driver) Name() string { return d.cfg.Runner.Name }

// Runners are those that run in this process, by version.
func (d *Driver) Runners() map[int]*runner.Runner {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make(map[int]*runner.Runner, len(d.mu.running))
	for n, r := range d.mu.running {
		out[n] = r.runner
	}
	return out
}

// Ready reports whether this process does its part for what readers see, and why not. While a version
// of this program's shape is yet to be built, it does not: in a rolling update, those of before go on.
func (d *Driver) Ready() (bool, string) {
	d.mu.Lock()
	known, trouble := d.mu.known, d.mu.trouble
	active, _ := Of(d.mu.versions, Active)
	r := d.mu.running[active.Number]
	d.mu.Unlock()
	switch {
	case !known && trouble != "":
		return false, trouble
	case !known:
		return false, "the versions are not known yet"
	case active.Shape < d.cfg.Shape:
		return false, fmt.Sprintf("readers see version %d, of shape %d; one of this program's shape, %d, is being built", active.Number, active.Shape, d.cfg.Shape)
	case active.Shape > d.cfg.Shape:
		return false, fmt.Sprintf("version %d has shape %d, of a later program than this one, which has %d; to go back to it, `cqrsflow projection rebuild %s`",
			active.Number, active.Shape, d.cfg.Shape, d.cfg.Runner.Name)
	case r == nil:
		return false, cmp.Or(trouble, "it is being started")
	}
	return r.runner.Ready()
}
