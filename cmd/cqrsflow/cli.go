package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/alecthomas/kong"
)

// Exit codes.
const (
	exitFailure = 1
	exitUsage   = 2
)

// cli is the grammar of the command line.
type cli struct {
	Dev        devCmd        `cmd:"" help:"Run everything on this machine: embedded servers, all roles. Nothing to install."`
	Serve      serveCmd      `cmd:"" help:"Run some roles on real servers."`
	Import     importCmd     `cmd:"" help:"Publish a file of real purchases as commands."`
	Parked     parkedCmd     `cmd:"" help:"Look at events that a projection cannot apply, and decide about them."`
	Publish    publishCmd    `cmd:"" help:"Publish a command and show what became of it."`
	Compare    compareCmd    `cmd:"" help:"Compare two versions of an aggregate's decisions on recorded commands."`
	Experiment experimentCmd `cmd:"" help:"Try variants on live traffic: define, start, look at results, stop, decide."`
	Projection projectionCmd `cmd:"" help:"Look at the read models, how far they are and whether they are right, and put them right."`
	Rebuild    rebuildCmd    `cmd:"" help:"Build the read model of a projection anew, without downtime; the same as projection rebuild."`
	Stream     streamCmd     `cmd:"" help:"Look at the stream of an aggregate: its events, its state then and now."`
	Policy     policyCmd     `cmd:"" help:"Check policies, and ask them who may do what."`
	Topology   topologyCmd   `cmd:"" help:"Make and check the topics on Kafka."`
	Ready      readyCmd      `cmd:"" help:"Ask a process of cqrsflow whether it is ready, and what is not; exit code 1 where something is not."`
	Smoke      smokeCmd      `cmd:"" help:"Place an order over HTTP, find it in SQL and by search, and cancel it: does everything work together?"`
	User       userCmd       `cmd:"" help:"Look after users: make them, give them roles, lock and forget them."`
	Recover    recoverCmd    `cmd:"" help:"Make logs that a mirror has copied, whose offsets are others, ones to start on: everything else is made of them anew."`
	Keys       keysCmd       `cmd:"" help:"Make the keys of users and principals, where they are not there yet."`
	Bench      benchCmd      `cmd:"" help:"Measure cqrsflow on the configured servers, beside bare loops that do the same I/O."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
}

func newCLI() *cli {
	return &cli{
		Dev:        newDevCmd(),
		Serve:      newServeCmd(),
		Import:     newImportCmd(),
		Parked:     newParkedCmd(),
		Publish:    newPublishCmd(),
		Compare:    newCompareCmd(),
		Experiment: newExperimentCmd(),
		Projection: newProjectionCmd(),
		Rebuild:    newRebuildCmd(),
		Stream:     newStreamCmd(),
		Policy:     newPolicyCmd(),
		Topology:   newTopologyCmd(),
		Recover:    newRecoverCmd(),
		Ready:      newReadyCmd(),
		Smoke:      newSmokeCmd(),
		User:       newUserCmd(),
		Bench:      newBenchCmd(),
	}
}

// environment is everything that a command has to do with, so that tests can run commands.
type environment struct {
	args    []string
	environ []string
	stdin   io.Reader
	stdout  io.Writer
	stderr  io.Writer
	ctx     context.Context // of one run of one command
}

// usageError is a mistake in how the command was called.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// failed ends a command with exit code 1 where it has said itself what is wrong.
type failed struct{}

func (failed) Error() string { return "failed" }

// exit is how kong's own exits (after --help) reach run.
type exit int

func run(ctx context.Context, e *environment) (code int) {
	e.ctx = ctx
	defer func() {
		switch p := recover().(type) {
		case nil:
		case exit:
			code = int(p)
		default:
			panic(p)
		}
	}()
	parser, err := kong.New(newCLI(), kong.Name("cqrsflow"),
		kong.Description("CQRS and event sourcing on Kafka."),
		kong.Writers(e.stdout, e.stderr), kong.Exit(func(code int) { panic(exit(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}), kong.Bind(e))
	if err != nil {
		fmt.Fprintln(e.stderr, "cqrsflow:", err)
		return exitFailure
	}
	command, err := parser.Parse(e.args)
	if err != nil {
		help := "cqrsflow --help"
		if k := (*kong.ParseError)(nil); errors.As(err, &k) && k.Context != nil && k.Context.Selected() != nil {
			help = k.Context.Selected().FullPath() + " --help"
		}
		fmt.Fprintf(e.stderr, "cqrsflow: %v\nSee %s\n", err, help)
		return exitUsage
	}
	err = command.Run()
	switch usage := (usageError{}); {
	case err == nil:
		return 0
	case errors.Is(err, failed{}):
		return exitFailure
	case errors.As(err, &usage):
		fmt.Fprintf(e.stderr, "cqrsflow: %v\nSee %s --help\n", indent(err), command.Selected().FullPath())
		return exitUsage
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(e.stderr, "cqrsflow: stopped:", context.Cause(ctx))
		return exitFailure
	}
	fmt.Fprintln(e.stderr, "cqrsflow:", indent(err))
	return exitFailure
}

// indent keeps the lines of joined errors together.
func indent(err error) string { return strings.ReplaceAll(err.Error(), "\n", "\n  ") }

// outputFlags are for commands that print a table.
type outputFlags struct {
	JSON bool `help:"Print JSON."`
}

// print prints v as JSON where that was asked for; else what people writes into a table, whose columns are
// separated by tabs.
func (o outputFlags) print(e *environment, v any, people func(w io.Writer)) error {
	if o.JSON {
		enc := json.NewEncoder(e.stdout)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	}
	w := tabwriter.NewWriter(e.stdout, 0, 8, 2, ' ', 0)
	people(w)
	return w.Flush()
}
