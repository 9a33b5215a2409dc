// Package lifecycle starts and stops a process: components that block in Run(ctx), ended in the order
// that loses nothing, and signals.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// Stage says when a component is stopped. Components are started in any order, as they can be; they are
// stopped stage by stage, and a stage begins to stop when the one before it has ended.
type Stage int

// The stages, in the order in which they stop.
const (
	// Intake brings work in: HTTP servers, imports.
	Intake Stage = iota
	// Drain finishes the work that has been taken: command processors, reactors, publishers.
	Drain
	// Checkpoint records how far it has come: projections.
	Checkpoint
	// Last serves the others to the end: the operations port, embedded servers.
	Last
	stages
)

var stageNames = [stages]string{"intake", "drain", "checkpoint", "last"}

// String names the stage for logs.
func (s Stage) String() string { return stageNames[s] }

// DefaultStopTimeout leaves two stages time within the 30 s that Kubernetes gives a pod.
const DefaultStopTimeout = 10 * time.Second

// Config configures a Group; the zero value will do.
type Config struct {
	// Logger defaults to slog.Default.
	Logger *slog.Logger
	// StopTimeout bounds each stage and each closer; DefaultStopTimeout where zero. What has not ended by
	// then is named in Wait's error, and the next stage is stopped all the same.
	StopTimeout time.Duration
}

// ErrEnded is the failure of a component that returned without an error before it was told to stop.
var ErrEnded = errors.New("ended by itself")

// Group runs components and stops all of them, in order, when one fails or when Wait's context ends.
// Its methods are safe for concurrent use.
type Group struct {
	cfg    Config
	ctx    [stages]context.Context
	cancel [stages]context.CancelFunc
	// failed holds the first failure.
	failed chan error

	mu struct {
		sync.Mutex
		stopping bool
		running  [stages][]*component
		closers  []closer
		errs     []error
	}
}

type component struct {
	name string
	done chan struct{}
}

type closer struct {
	name string
	fn   func() error
}

// New makes an empty group.
func New(cfg Config) *Group {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.StopTimeout <= 0 {
		cfg.StopTimeout = DefaultStopTimeout
	}
	g := &Group{cfg: cfg, failed: make(chan error, 1)}
	for i := range g.ctx {
		g.ctx[i], g.cancel[i] = context.WithCancel(context.Background())
	}
	return g
}

// Go runs a component that lasts until its context ends: returning earlier is a failure, even without an
// error. Once the group is stopping it does nothing.
func (g *Group) Go(stage Stage, name string, run func(ctx context.Context) error) {
	g.start(stage, name, func(ctx context.Context) error {
		err := run(ctx)
		if err == nil && ctx.Err() == nil {
			err = ErrEnded
		}
		return err
	})
}

// Task runs something that may end by itself: only an error is a failure.
func (g *Group) Task(stage Stage, name string, run func(ctx context.Context) error) {
	g.start(stage, name, run)
}

func (g *Group) start(stage Stage, name string, run func(ctx context.Context) error) {
	c := &component{name: name, done: make(chan struct{})}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.stopping {
		return
	}
	g.mu.running[stage] = append(g.mu.running[stage], c)
	go func() {
		defer close(c.done)
		ctx := g.ctx[stage]
		err := run(ctx)
		if err == nil || ctx.Err() != nil && errors.Is(err, context.Canceled) {
			return
		}
		g.Fail(fmt.Errorf("%s: %w", name, err))
	}()
}

// OnClose has fn called when every component has ended, the last one registered first: clients after
// what uses them, servers after their clients.
func (g *Group) OnClose(name string, fn func() error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.closers = append(g.mu.closers, closer{name, fn})
}

// Fail records a failure and makes Wait stop the group.
func (g *Group) Fail(err error) {
	g.mu.Lock()
	g.mu.errs = append(g.mu.errs, err)
	g.mu.Unlock()
	select {
	case g.failed <- err:
	default:
	}
}

// Wait blocks until ctx ends or a component fails, stops everything in order, and returns what failed:
// nothing where ctx ended and all stopped as told. Call it exactly once, also where setting up failed
// half-way (with a context that has ended): it is what closes.
func (g *Group) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
			g.cfg.Logger.Info("stopping", "why", cause)
		}
	case err := <-g.failed:
		g.cfg.Logger.Error("stopping", "why", err)
	}
	g.mu.Lock()
	g.mu.stopping = true
	closers := slices.Clone(g.mu.closers)
	g.mu.Unlock()
	for stage := range stages {
		g.stop(stage)
	}
	for _, c := range slices.Backward(closers) {
		g.close(c)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return errors.Join(g.mu.errs...)
}

func (g *Group) stop(stage Stage) {
	g.mu.Lock()
	running := g.mu.running[stage]
	g.mu.Unlock()
	g.cancel[stage]()
	timeout := time.NewTimer(g.cfg.StopTimeout)
	defer timeout.Stop()
	for i, c := range running {
		select {
		case <-c.done:
			g.cfg.Logger.Debug("stopped", "component", c.name, "stage", stage.String())
		case <-timeout.C:
			var late []string
			for _, c := range running[i:] {
				select {
				case <-c.done:
				default:
					late = append(late, c.name)
				}
			}
			g.Fail(fmt.Errorf("not stopped within %v: %s", g.cfg.StopTimeout, strings.Join(late, ", ")))
			return
		}
	}
}

func (g *Group) close(c closer) {
	done := make(chan error, 1)
	go func() { done <- c.fn() }()
	timeout := time.NewTimer(g.cfg.StopTimeout)
	defer timeout.Stop()
	select {
	case err := <-done:
		if err != nil {
			g.Fail(fmt.Errorf("close %s: %w", c.name, err))
		}
	case <-timeout.C:
		g.Fail(fmt.Errorf("%s not closed within %v", c.name, g.cfg.StopTimeout))
	}
}
