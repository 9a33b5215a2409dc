package bench

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// kafka starts a broker that ends with the test, and checks at the end that nothing is left on it.
func kafka(t *testing.T) []kgo.Opt {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	opts := []kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...)}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer cl.Close()
		topics, err := kadm.NewClient(cl).ListTopics(context.Background())
		if err != nil || len(topics.Names()) > 0 {
			t.Errorf("topics that are left: %v, %v", topics.Names(), err)
		}
		groups, err := kadm.NewClient(cl).ListGroups(context.Background())
		if err != nil || len(groups.Groups()) > 0 {
			t.Errorf("groups that are left: %v, %v", groups.Groups(), err)
		}
	})
	return opts
}

// quiet is a Run that counts what it is told.
func quiet(steps *atomic.Int64) Run {
	return Run{Logger: slog.New(slog.DiscardHandler), Progress: func(string, int, int) { steps.Add(1) }}
}

func tiny(t *testing.T, steps *atomic.Int64) Commands {
	return Commands{Run: quiet(steps), Kafka: kafka(t), Count: 600, Streams: 40, Partitions: 2, Payload: 20, Limit: time.Minute}
}

// checkReport looks at what holds for every report, and at its form as JSON.
func checkReport(t *testing.T, r *Report, name string, inputs map[string]any) {
	t.Helper()
	if r.Bench != name {
		t.Errorf("the report is of %q, want %q", r.Bench, name)
	}
	for _, f := range []Figures{r.Ours, r.Bare} {
		latency := f.P50Ms > 0 && f.P50Ms <= f.P99Ms && f.P99Ms <= f.P999
		if (f.Rate > 0) == latency {
			t.Errorf("figures %+v: either a rate or percentiles", f)
		}
	}
	if r.Ratio <= 0 {
		t.Errorf("ratio %v", r.Ratio)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back map[string]any
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"bench", "inputs", "ours", "bare", "ratio"} {
		if back[field] == nil {
			t.Errorf("no %s in %s", field, text)
		}
	}
	for k, want := range inputs {
		if got := back["inputs"].(map[string]any)[k]; got != want {
			t.Errorf("input %s is %v, want %v", k, got, want)
		}
	}
	var table strings.Builder
	if err := r.Table(&table); err != nil || strings.Count(table.String(), "\n") != 4 {
		t.Errorf("table: %v\n%s", err, table.String())
	}
}

func TestCommands(t *testing.T) {
	for name, edit := range map[string]func(*Commands){
		"uniform": func(*Commands) {},
		"zipf":    func(c *Commands) { c.Zipf, c.Workers, c.Compression, c.Rounds = true, 1, "zstd", 1 },
	} {
		t.Run(name, func(t *testing.T) {
			var steps atomic.Int64
			c := tiny(t, &steps)
			edit(&c)
			r, err := RunCommands(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			keys := "uniform"
			if c.Zipf {
				keys = "zipf"
			}
			checkReport(t, r, "commands", map[string]any{"commands": 600.0, "keys": keys})
			if r.Ours.Rate == 0 || steps.Load() == 0 {
				t.Errorf("%+v after %d steps", r.Ours, steps.Load())
			}
		})
	}
}

func TestOneCommandInFlight(t *testing.T) {
	var steps atomic.Int64
	c := tiny(t, &steps)
	c.Latency = 20
	r, err := RunCommands(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	checkReport(t, r, "commands-latency", map[string]any{"samples": 20.0, "inFlight": 1.0})
}

func TestCommandsAtARate(t *testing.T) {
	var steps atomic.Int64
	c := tiny(t, &steps)
	c.Rate, c.Count = 400, 200
	r, err := RunCommands(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	checkReport(t, r, "commands-latency", map[string]any{"rate": 400.0, "commands": 200.0})
}

func TestRestore(t *testing.T) {
	var steps atomic.Int64
	r, err := RunRestore(t.Context(), tiny(t, &steps))
	if err != nil {
		t.Fatal(err)
	}
	checkReport(t, r, "restore", map[string]any{"events": 600.0, "partitions": 2.0})
}

func TestCommandsAreCutShortByTheLimit(t *testing.T) {
	var steps atomic.Int64
	c := tiny(t, &steps)
	c.Count, c.Rounds, c.Limit = 100_000_000, 1, 8*time.Second
	r, err := RunCommands(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	checkReport(t, r, "commands", nil)
	if n := r.Inputs["commands"].(int); n <= 0 || n >= c.Count {
		t.Errorf("%d commands were measured", n)
	}
}

func TestUnreachableKafka(t *testing.T) {
	c := Commands{Run: Run{Logger: slog.New(slog.DiscardHandler)}, Kafka: []kgo.Opt{kgo.SeedBrokers("127.0.0.1:1"), kgo.RequestRetries(0), kgo.RetryTimeout(time.Second)}}
	if r, err := RunCommands(t.Context(), c); err == nil {
		t.Errorf("%+v", r)
	}
}

func TestTurnsAreTaken(t *testing.T) {
	var steps atomic.Int64
	var order []string
	turn := func(name string, took time.Duration) *side {
		return &side{name: name, run: func(context.Context) (time.Duration, error) {
			order = append(order, name)
			return took, nil
		}}
	}
	a, b := turn("a", time.Second), turn("b", 2*time.Second)
	if err := quiet(&steps).alternate(t.Context(), 3, time.Hour, 100, a, b); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(order, ""); got != "abbaab" {
		t.Errorf("turns %s", got)
	}
	if median(a.rates) != 100 || median(b.rates) != 50 {
		t.Errorf("rates %v and %v", a.rates, b.rates)
	}
	if err := quiet(&steps).alternate(t.Context(), 3, 0, 100, a, b); err != nil || len(a.rates) != 4 || len(b.rates) != 4 {
		t.Errorf("after the limit, rounds are left out: %v and %v, %v", a.rates, b.rates, err)
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		rates []float64
		want  float64
	}{{nil, 0}, {[]float64{7}, 7}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 2, 100}, 3}} {
		if got := median(c.rates); got != c.want {
			t.Errorf("median of %v: %v, want %v", c.rates, got, c.want)
		}
	}
}

func TestPercentiles(t *testing.T) {
	var took []time.Duration
	for i := range 1000 {
		took = append(took, time.Duration(1000-i)*time.Millisecond)
	}
	if got := percentiles(took); got != (Figures{P50Ms: 501, P99Ms: 991, P999: 1000}) {
		t.Errorf("%+v", got)
	}
}

// The clock starts when the state is steady, with the transactions after that one.
func TestStopwatch(t *testing.T) {
	var s stopwatch
	s.transaction(100, time.Hour, false)
	s.transaction(100, time.Second, true)
	if s.counted != 0 || s.steady.IsZero() {
		t.Fatalf("%+v", s)
	}
	if got, want := s.rate(), 200/3600.0; got > want+1 {
		t.Errorf("too little was counted, so all should be: %v commands/s", got)
	}
	s.transaction(300, time.Second, false)
	s.steady = s.last.Add(-2 * time.Second)
	if got := s.rate(); got != 150 {
		t.Errorf("%v commands/s, want 150", got)
	}
}

func TestGateway(t *testing.T) {
	var steps atomic.Int64
	r, err := RunGateway(t.Context(), Gateway{Run: quiet(&steps), Requests: 200, Clients: 4, Samples: 20, Rounds: 2})
	if err != nil {
		t.Fatal(err)
	}
	if r.Bench != "gateway" || r.Ratio <= 0 || r.Direct == nil || r.Direct.P50Ms <= 0 || r.Ours.Rate <= 0 || r.Bare.P50Ms <= 0 || r.Inputs["rounds"] != 2 || steps.Load() == 0 {
		t.Errorf("the report is %+v", r)
	}
}
