package app

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cqrsflow/cqrsflow/consumers/reactor"
	"github.com/cqrsflow/cqrsflow/consumers/rebuild"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/producer"
)

// metrics are those of the engines, which know nothing of Prometheus: they are told through hooks, and what
// has a state is asked at each scrape. No label ever holds an ID.
type metrics struct {
	outcomes     *prometheus.CounterVec
	transactions *prometheus.HistogramVec
	batch        prometheus.Histogram
	restores     *prometheus.HistogramVec
	restored     *prometheus.CounterVec
	unheard      *prometheus.CounterVec
	panics       *prometheus.CounterVec
	denials      *prometheus.CounterVec
	reloads      *prometheus.CounterVec
	variants     *prometheus.CounterVec
	applied      *prometheus.CounterVec
	parked       *prometheus.CounterVec
	apply        *prometheus.HistogramVec
	attempts     *prometheus.CounterVec
	requests     *prometheus.HistogramVec

	mu struct {
		sync.Mutex
		drivers  []*rebuild.Driver
		reactors []*reactor.Reactor
	}
}

func newMetrics(r prometheus.Registerer) *metrics {
	seconds := prometheus.ExponentialBuckets(0.0005, 2, 16)
	m := &metrics{
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cqrsflow_command_outcomes_total",
			Help: "Commands by what became of them."}, []string{"aggregate", "kind", "replayed"}),
		transactions: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "cqrsflow_transaction_seconds",
			Help: "Duration of the processor's transactions.", Buckets: seconds}, []string{"committed"}),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "cqrsflow_transaction_commands",
			Help: "Commands in a transaction.", Buckets: prometheus.ExponentialBuckets(1, 4, 9)}),
		restores: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "cqrsflow_restore_seconds",
			Help: "Duration from the assignment of a partition until it serves.", Buckets: prometheus.ExponentialBuckets(0.01, 2, 16)}, []string{"aggregate"}),
		restored: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cqrsflow_restored_events_total",
			Help: "Events read to restore partitions."}, []string{"aggregate"}),
		unheard: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cqrsflow_caused_commands_refused_total",
			Help: "Commands that were caused by something else, such as an event through a reactor, and not accepted."}, []string{"aggregate", "code"}),
		panics: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cqrsflow_decider_panics_total",
			Help: "Panics of an aggregate's functions."}, []string{"aggregate"}),
		variants: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cqrsflow_command_variants_total",
			Help: "Commands that name a variant: used, or decided by the default because it was unsigned or unknown."}, []string{"aggregate", "result"}),
		denials: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cqrsflow_command_denials_total",
			Help: "Commands that were denied. Who, and by which policy, is in the log."}, []string{"aggregate", "code"}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cqrsflow_policy_reloads_total",
			Help: "Changes of the policies' files, by whether the new policies are used."}, []string{"used"}),
		applied: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cqrsflow_projection_applied_total",
			Help: "Events and outcomes applied to read models."}, []string{"projection", "source"}),
		parked: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cqrsflow_projection_parked_total",
			Help: "Events set aside, by projections and reactors."}, []string{"projection"}),
		apply: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "cqrsflow_projection_batch_seconds",
			Help: "Duration of applying a batch to a read model.", Buckets: seconds}, []string{"projection"}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cqrsflow_authentication_attempts_total",
			Help: "Attempts to authenticate, by factor and result: succeeded, failed, refused, or withdrawn where nothing could be verified."}, []string{"factor", "result"}),
	}
	m.requests = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "cqrsflow_gateway_request_seconds",
		Help: "Duration of requests at the gateway, by route, method and status.", Buckets: seconds}, []string{"route", "method", "status"})
	r.MustRegister(m.requests, m.outcomes, m.transactions, m.batch, m.restores, m.restored, m.unheard, m.panics, m.denials, m.reloads, m.variants, m.applied, m.parked, m.apply, m.attempts, standing{m})
	return m
}

// hooks are what the command processor calls.
func (m *metrics) hooks() producer.Hooks {
	return producer.Hooks{
		Outcome: func(aggregate string, kind event.Kind, replayed bool) {
			m.outcomes.WithLabelValues(aggregate, kind.String(), strconv.FormatBool(replayed)).Inc()
		},
		Transaction: func(commands int, took time.Duration, committed bool) {
			m.transactions.WithLabelValues(strconv.FormatBool(committed)).Observe(took.Seconds())
			m.batch.Observe(float64(commands))
		},
		Restored: func(aggregate string, _ int32, events int64, took time.Duration) {
			m.restores.WithLabelValues(aggregate).Observe(took.Seconds())
			m.restored.WithLabelValues(aggregate).Add(float64(events))
		},
		Unheard:  func(aggregate, code string) { m.unheard.WithLabelValues(aggregate, code).Inc() },
		Variant:  func(aggregate, result string) { m.variants.WithLabelValues(aggregate, result).Inc() },
		Denied:   func(d producer.Denial) { m.denials.WithLabelValues(d.Aggregate, d.Code).Inc() },
		Panicked: func(aggregate string) { m.panics.WithLabelValues(aggregate).Inc() },
	}
}

// reloaded is called when the policies' files have changed.
func (m *metrics) reloaded(used bool) { m.reloads.WithLabelValues(strconv.FormatBool(used)).Inc() }

// onBatch is what the projections call.
func (m *metrics) onBatch(p runner.Progress) {
	m.applied.WithLabelValues(p.Projection, string(p.Partition.Source)).Add(float64(p.Events + p.Outcomes))
	m.apply.WithLabelValues(p.Projection).Observe(p.Took.Seconds())
	m.onParked(p.Projection, p.Parked)
}

// onParked is called with how many events a projection or reactor has set aside.
func (m *metrics) onParked(by string, events int) {
	if events > 0 {
		m.parked.WithLabelValues(by).Add(float64(events))
	}
}

// onAttempt is called with how each attempt to authenticate ended.
func (m *metrics) onAttempt(factor, result string) { m.attempts.WithLabelValues(factor, result).Inc() }

// watch adds a projection to what is asked at each scrape.
func (m *metrics) watch(d *rebuild.Driver) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.drivers = append(m.mu.drivers, d)
}

func (m *metrics) watchReactor(r *reactor.Reactor) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.reactors = append(m.mu.reactors, r)
}

// standing collects how the projections and reactors stand.
type standing struct{ m *metrics }

var (
	lagDesc = prometheus.NewDesc("cqrsflow_projection_lag_records",
		"Records between the checkpoint and the log's end.", []string{"projection", "version", "aggregate", "source", "partition"}, nil)
	ageDesc = prometheus.NewDesc("cqrsflow_projection_applied_through_seconds",
		"Unix time at which the last applied event was recorded.", []string{"projection", "version", "aggregate", "source", "partition"}, nil)
	parkedDesc = prometheus.NewDesc("cqrsflow_projection_parked_streams",
		"Streams that are set aside, of projections and reactors.", []string{"projection", "version"}, nil)
	foreignDesc = prometheus.NewDesc("cqrsflow_projection_foreign_records",
		"Records skipped since assignment because cqrsflow did not write them.", []string{"projection", "version"}, nil)
	reactedDesc = prometheus.NewDesc("cqrsflow_reactor_events_total",
		"Events that a reactor has reacted to.", []string{"reactor"}, nil)
	sentDesc = prometheus.NewDesc("cqrsflow_reactor_commands_total",
		"Commands that a reactor has sent.", []string{"reactor"}, nil)
)

func (s standing) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{lagDesc, ageDesc, parkedDesc, foreignDesc, reactedDesc, sentDesc} {
		c <- d
	}
}

func (s standing) Collect(c chan<- prometheus.Metric) {
	s.m.mu.Lock()
	drivers, reactors := s.m.mu.drivers, s.m.mu.reactors
	s.m.mu.Unlock()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		c <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, d := range drivers {
		for _, r := range d.Runners() {
			collectRunner(r.Status(), gauge)
		}
	}
	for _, r := range reactors {
		st := r.Status()
		c <- prometheus.MustNewConstMetric(reactedDesc, prometheus.CounterValue, float64(st.Events), st.Name)
		c <- prometheus.MustNewConstMetric(sentDesc, prometheus.CounterValue, float64(st.Commands), st.Name)
		gauge(parkedDesc, float64(st.Parked), st.Name, "")
	}
}

func collectRunner(st runner.Status, gauge func(d *prometheus.Desc, v float64, labels ...string)) {
	parked, foreign, version := 0, int64(0), strconv.Itoa(st.Version)
	for _, p := range st.Partitions {
		labels := []string{st.Projection, version, p.Partition.Aggregate, string(p.Partition.Source), strconv.Itoa(int(p.Partition.Number))}
		if p.Lag >= 0 {
			gauge(lagDesc, float64(p.Lag), labels...)
		}
		if !p.AppliedThrough.IsZero() {
			gauge(ageDesc, float64(p.AppliedThrough.UnixMilli())/1e3, labels...)
		}
		parked += p.Parked
		foreign += p.Foreign
	}
	gauge(parkedDesc, float64(parked), st.Projection, version)
	gauge(foreignDesc, float64(foreign), st.Projection, version)
}
