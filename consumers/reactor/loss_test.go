package reactor_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/consumers/internal/logtest"
	"github.com/cqrsflow/cqrsflow/consumers/reactor"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/topology"
)

const orderEvents = "cqrsflow.order.events"

func accept(t *testing.T, log *logtest.Log, named ...string) []topology.Loss {
	t.Helper()
	top := topology.New(plain(t, log), topology.Config{Partitions: log.Partitions, Replication: 1}, []string{"order"})
	lost, err := top.AcceptLoss(t.Context(), named...)
	if err != nil {
		t.Fatal(err)
	}
	return lost
}

func plain(t *testing.T, log *logtest.Log) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(log.Client()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func because(t *testing.T, r *reactor.Reactor, want string) {
	t.Helper()
	logtest.Until(t, "the reason contains "+want, func() bool { return strings.Contains(r.Status().Reason, want) })
}

// The events topic is deleted and made again under a reactor: it stops, asks for the acceptance, and then
// where to go on; and goes on there.
func TestTopicMadeAgain(t *testing.T) {
	log := logtest.New(t, 2, "order", "customer")
	log.Append(t, "order", many(0, 10)...)
	cfg := config(t, log)
	cfg.From = reactor.Start
	_, stop := start(t, cfg)
	logtest.Until(t, "all is sent", func() bool { return len(commands(t, log)) == 10 })
	stop()
	cfg.From = reactor.Refuse
	r, stop := start(t, cfg)
	logtest.Until(t, "the reactor is ready", func() bool { ok, _ := r.Ready(); return ok })
	adm := kadm.NewClient(plain(t, log))
	if _, err := adm.DeleteTopics(t.Context(), orderEvents); err != nil {
		t.Fatal(err)
	}
	if _, err := adm.CreateTopics(t.Context(), 2, 1, nil, orderEvents); err != nil {
		t.Fatal(err)
	}
	because(t, r, "cqrsflow topology accept-loss --lost "+orderEvents)
	accept(t, log, orderEvents)
	because(t, r, "--from start")
	stop()
	again, err := reactor.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Run(t.Context()); !errors.Is(err, event.ErrConfig) || !strings.Contains(err.Error(), "--from") {
		t.Errorf("%v", err)
	}
	cfg.From = reactor.End
	r, _ = start(t, cfg)
	logtest.Until(t, "the reactor is ready", func() bool { ok, _ := r.Ready(); return ok })
	if n := len(commands(t, log)); n != 10 {
		t.Errorf("%d commands", n)
	}
}

// An offset beyond the log's end: the log was cut off. It is of before the loss even when the log is as
// long again.
func TestOffsetBeyondTheEnd(t *testing.T) {
	log := logtest.New(t, 1, "order", "customer")
	log.Append(t, "order", many(0, 10)...)
	cfg := config(t, log)
	cfg.From = reactor.Start
	_, stop := start(t, cfg)
	logtest.Until(t, "all is sent", func() bool { return len(commands(t, log)) == 10 })
	stop()
	adm := kadm.NewClient(plain(t, log))
	var beyond kadm.Offsets
	beyond.AddOffset(orderEvents, 0, 30, -1)
	if err := adm.CommitAllOffsets(t.Context(), "cqrsflow.purchases.v1", beyond); err != nil {
		t.Fatal(err)
	}
	r, stop := start(t, cfg)
	because(t, r, "but events up to 30 were reacted to")
	if lost := accept(t, log); len(lost) != 1 || lost[0].Group != "cqrsflow.purchases.v1" || lost[0].Committed != 30 {
		t.Errorf("accepted: %+v", lost)
	}
	log.Append(t, "order", many(10, 20)...) // beyond 30
	logtest.Until(t, "all is sent", func() bool { return len(ids(commands(t, log))) == 20 })
	if lost := accept(t, log); len(lost) > 0 {
		t.Errorf("accepted again: %+v", lost)
	}
	stop()
	// What it commits from now on counts: nothing is sent once more.
	n := len(commands(t, log))
	cfg.From = reactor.Refuse
	r, _ = start(t, cfg)
	log.Append(t, "order", paid("o-new", "c-1"))
	logtest.Until(t, "the next command is sent", func() bool { return r.Status().Commands == 1 })
	if got := len(commands(t, log)); got != n+1 {
		t.Errorf("%d commands, want %d", got, n+1)
	}
}
