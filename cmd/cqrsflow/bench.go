package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/pprof"
	"sync"
	"time"

	"github.com/cqrsflow/cqrsflow/consumers/elasticsearch"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/bench"
	"github.com/cqrsflow/cqrsflow/internal/config"
	"github.com/cqrsflow/cqrsflow/internal/progress"
)

type benchCmd struct {
	Commands benchCommandsCmd `cmd:"" help:"Commands a second, exactly once, against a bare transaction loop; or their latency, one in flight or at a rate."`
	Restore  benchRestoreCmd  `cmd:"" help:"Restoring the local store of a command processor from the log, against consuming its events."`
	Compare  benchCompareCmd  `cmd:"" help:"Comparing two variants on recorded commands, against a plain replay of the same records."`
	SQL      benchSQLCmd      `cmd:"" name:"sql" help:"Projecting orders into PostgreSQL, against upserting the same rows; or how soon they are to be seen, at a rate."`
	Search   benchSearchCmd   `cmd:"" help:"Projecting orders into Elasticsearch, against bulk requests with the same documents."`
	Gateway  benchGatewayCmd  `cmd:"" help:"Queries through the gateway, against a bare reverse proxy before the same backend. It needs no servers."`
}

func newBenchCmd() benchCmd {
	return benchCmd{
		Commands: benchCommandsCmd{trafficFlags: trafficFlags{Settings: newSettings("General", "Kafka")}},
		Restore:  benchRestoreCmd{trafficFlags{Settings: newSettings("General", "Kafka")}},
		Compare:  benchCompareCmd{trafficFlags{Settings: newSettings("General", "Kafka")}},
		SQL:      benchSQLCmd{Settings: newSettings("General", "Kafka", "Postgres")},
		Search:   benchSearchCmd{Settings: newSettings("General", "Elasticsearch")},
	}
}

// benchFlags are those of all benchmarks.
type benchFlags struct {
	outputFlags
	CPUProfile string `name:"cpu-profile" placeholder:"FILE" help:"Write a CPU profile of this program, for go tool pprof."`
}

// measure runs a benchmark: progress and logs go to standard error, the report, and nothing else, to standard output.
func (f *benchFlags) measure(e *environment, run func(bench.Run) (*bench.Report, error)) error {
	if f.CPUProfile != "" {
		file, err := os.Create(f.CPUProfile)
		if err != nil {
			return err
		}
		defer file.Close()
		if err := pprof.StartCPUProfile(file); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	bars := benchBars{display: progress.New(e.stderr)}
	defer bars.end()
	r, err := run(bench.Run{Progress: bars.show, Logger: slog.New(slog.NewTextHandler(bars.display, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		return err
	}
	bars.end()
	var broken error
	err = f.print(e, r, func(w io.Writer) { broken = r.Table(w) })
	if err == nil {
		err = broken
	}
	return err
}

// benchBars shows one bar at a time: what is being done now.
type benchBars struct {
	display *progress.Display
	mu      sync.Mutex
	what    string
	bar     *progress.Bar
	full    bool
}

func (b *benchBars) show(what string, done, total int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if what != b.what {
		b.stop()
		b.what, b.bar = what, b.display.Bar(what, int64(total))
	}
	b.bar.Set(int64(done), int64(total))
	b.full = done >= total
}

func (b *benchBars) stop() {
	switch {
	case b.bar != nil && b.full:
		b.bar.Done()
	case b.bar != nil:
		b.bar.Abandon()
	}
	b.what, b.bar = "", nil
}

func (b *benchBars) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stop()
}

// positive refuses numbers that make no sense; 0 leaves the default.
func positive(flags map[string]int) error {
	for name, v := range flags {
		if v < 0 {
			return usageError{fmt.Errorf("%s is %d; it must be 1 or more", name, v)}
		}
	}
	return nil
}

// trafficFlags are those of the benchmarks that send commands.
type trafficFlags struct {
	benchFlags
	Commands    int           `help:"How many; 1,000,000 by default. With --rate, as many as are sent in 20 s."`
	Streams     int           `default:"100000" help:"To how many streams."`
	Partitions  int           `default:"8" help:"Of each topic."`
	Payload     int           `default:"100" help:"Bytes of a command's body."`
	Zipf        bool          `help:"Draw streams by Zipf's law instead of uniformly."`
	Workers     int           `default:"2" help:"Transactions of the processor at a time."`
	Compression string        `default:"lz4" enum:"none,snappy,lz4,zstd" help:"Of what is written: none, snappy, lz4 or zstd."`
	Replication int           `default:"1" help:"Replicas of the benchmark's topics."`
	Rounds      int           `default:"3" help:"How often each side has its turn; the figures are medians."`
	Limit       time.Duration `default:"3m" help:"Bounds the whole of it: fewer commands are measured where that is too short."`
	Settings    settings      `embed:""`
}

func (f *trafficFlags) commands(e *environment, what string, latency, rate int) (bench.Commands, error) {
	err := positive(map[string]int{"--commands": f.Commands, "--streams": f.Streams, "--partitions": f.Partitions, "--payload": f.Payload,
		"--workers": f.Workers, "--rounds": f.Rounds, "--latency": latency, "--rate": rate})
	if err != nil {
		return bench.Commands{}, err
	}
	s, err := f.Settings.find(e, what, "kafka.brokers")
	if err != nil {
		return bench.Commands{}, err
	}
	opts, err := s.Kafka.Options()
	return bench.Commands{Kafka: opts, Count: f.Commands, Streams: f.Streams, Partitions: f.Partitions, Payload: f.Payload, Zipf: f.Zipf,
		Workers: f.Workers, Compression: f.Compression, Replication: int16(f.Replication), Rounds: f.Rounds, Limit: f.Limit, Latency: latency, Rate: rate}, err
}

type benchCommandsCmd struct {
	trafficFlags
	Rate    int `xor:"latency" help:"Measure latency with so many commands a second, whether or not they have been answered (an open loop)."`
	Latency int `xor:"latency" help:"Measure latency with one command in flight, so many times."`
}

func (c *benchCommandsCmd) Run(e *environment) error {
	b, err := c.commands(e, "bench commands", c.Latency, c.Rate)
	if err != nil {
		return err
	}
	return c.measure(e, func(run bench.Run) (*bench.Report, error) {
		b.Run = run
		return bench.RunCommands(e.ctx, b)
	})
}

type benchRestoreCmd struct{ trafficFlags }

func (c *benchRestoreCmd) Run(e *environment) error {
	b, err := c.commands(e, "bench restore", 0, 0)
	if err != nil {
		return err
	}
	return c.measure(e, func(run bench.Run) (*bench.Report, error) {
		b.Run = run
		return bench.RunRestore(e.ctx, b)
	})
}

type benchCompareCmd struct{ trafficFlags }

func (c *benchCompareCmd) Run(e *environment) error {
	b, err := c.commands(e, "bench compare", 0, 0)
	if err != nil {
		return err
	}
	return c.measure(e, func(run bench.Run) (*bench.Report, error) {
		b.Run = run
		return bench.RunCompare(e.ctx, b)
	})
}

// ordersFlags are those of the benchmarks that project orders.
type ordersFlags struct {
	benchFlags
	Orders     int `default:"100000" help:"How many, each placed, then paid."`
	Partitions int `default:"8" help:"On how many partitions; each is applied by a worker of its own."`
	Batch      int `default:"5000" help:"Most events applied at once."`
	Apart      int `default:"1000" help:"Most orders of a partition that are placed between an order and its payment."`
	Rounds     int `default:"5" help:"How often each side has its turn; the figures are medians."`

	Limit time.Duration `default:"3m" help:"No round begins after that; with --rate it bounds the whole of it."`
}

func (f *ordersFlags) orders() (bench.Orders, error) {
	return bench.Orders{Count: f.Orders, Partitions: f.Partitions, Batch: f.Batch, Apart: f.Apart, Rounds: f.Rounds, Limit: f.Limit},
		positive(map[string]int{"--orders": f.Orders, "--partitions": f.Partitions, "--batch": f.Batch, "--apart": f.Apart, "--rounds": f.Rounds})
}

type benchSQLCmd struct {
	ordersFlags
	Rate        int      `help:"Measure instead how long an event takes to be seen in PostgreSQL, with so many commands a second (an open loop); needs Kafka."`
	Commands    int      `help:"How many of them are measured; as many as are sent in 20 s."`
	Workers     int      `default:"2" help:"With --rate, transactions of the processor at a time."`
	Replication int      `default:"1" help:"With --rate, replicas of the benchmark's topics."`
	Settings    settings `embed:""`
}

func (c *benchSQLCmd) Run(e *environment) error {
	orders, err := c.orders()
	if err == nil {
		err = positive(map[string]int{"--rate": c.Rate, "--commands": c.Commands, "--workers": c.Workers})
	}
	if err != nil {
		return err
	}
	keys := []string{"postgres.url"}
	if c.Rate > 0 {
		keys = append(keys, "kafka.brokers")
	}
	s, err := c.Settings.find(e, "bench sql", keys...)
	if err != nil {
		return err
	}
	if c.Rate == 0 {
		return c.measure(e, func(run bench.Run) (*bench.Report, error) {
			return bench.RunSQL(e.ctx, bench.SQL{Run: run, Orders: orders, URL: s.Postgres.URL})
		})
	}
	opts, err := s.Kafka.Options()
	if err != nil {
		return err
	}
	return c.measure(e, func(run bench.Run) (*bench.Report, error) {
		return bench.RunVisible(e.ctx, bench.Visible{Run: run, Kafka: opts, URL: s.Postgres.URL, Rate: c.Rate, Count: c.Commands,
			Partitions: c.Partitions, Replication: int16(c.Replication), Workers: c.Workers, Limit: c.Limit})
	})
}

type benchSearchCmd struct {
	ordersFlags
	Settings settings `embed:""`
}

func (c *benchSearchCmd) Run(e *environment) error {
	orders, err := c.orders()
	if err != nil {
		return err
	}
	s, err := c.Settings.find(e, "bench search", "elasticsearch.url")
	if err != nil {
		return err
	}
	client, err := elasticsearchClient(s)
	if err != nil {
		return err
	}
	return c.measure(e, func(run bench.Run) (*bench.Report, error) {
		return bench.RunSearch(e.ctx, bench.Search{Run: run, Orders: orders, Elasticsearch: client})
	})
}

type benchGatewayCmd struct {
	benchFlags
	Requests int           `default:"5000" help:"How many, in each round."`
	Clients  int           `default:"32" help:"How many ask at the same time."`
	Samples  int           `default:"5000" help:"Requests with nothing else under way, for the latency."`
	Rounds   int           `default:"15" help:"How often each side has its turn; rates are medians."`
	Limit    time.Duration `default:"1m" help:"No round begins after that."`
}

func (c *benchGatewayCmd) Run(e *environment) error {
	err := positive(map[string]int{"--requests": c.Requests, "--clients": c.Clients, "--samples": c.Samples, "--rounds": c.Rounds})
	if err != nil {
		return err
	}
	return c.measure(e, func(run bench.Run) (*bench.Report, error) {
		return bench.RunGateway(e.ctx, bench.Gateway{Run: run, Requests: c.Requests, Clients: c.Clients, Samples: c.Samples, Rounds: c.Rounds, Limit: c.Limit})
	})
}

func elasticsearchClient(s *config.Settings) (elasticsearch.ClientConfig, error) {
	c := elasticsearch.ClientConfig{URLs: s.Elasticsearch.URL, APIKey: s.Elasticsearch.APIKey}
	if s.Elasticsearch.CA == "" {
		return c, nil
	}
	var err error
	if c.CA, err = os.ReadFile(s.Elasticsearch.CA); err != nil {
		err = fmt.Errorf("%w: elasticsearch.ca_file: %w", event.ErrConfig, err)
	}
	return c, err
}
