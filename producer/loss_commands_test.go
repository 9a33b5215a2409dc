package producer

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/schemas/record"
)

// Commands that end before the group's offset: those that would come up to it must not be skipped.
func TestTruncatedCommands(t *testing.T) {
	l := newLossLab(t)
	_, stop := l.process(l.looking)
	l.fill(l.publisher())
	stop()
	cutBack := l.mark(accountTopics.Commands)
	_, stop = l.process(l.looking)
	l.unnamed(40, 2)
	l.fill(l.publisher())
	stop()
	cutBack()
	proc, _ := l.process(l.looking)
	if why := l.stopped(proc); !strings.Contains(why, "accept-loss --lost "+accountTopics.Commands+"/0") {
		t.Errorf("it says %s", why)
	}
	if lost := l.accept(); len(lost) != 1 || lost[0].Group != "cqrsflow.processor" || lost[0].Committed != 81 || lost[0].End != 40 {
		t.Errorf("accepted: %+v", lost)
	}
	l.serves(proc)
	// Again, nobody named the command: its ID is its offset, which a lost one had before it.
	l.unnamed(40, 1)
	c := command("s0", "deposit")
	if o := l.do(l.publisher(), c, amount(1)); o.Version != 19 {
		t.Errorf("%+v", o)
	}
	if lost := l.accept(); len(lost) > 0 {
		t.Errorf("lost again: %v", lost)
	}
}

// The commands have grown beyond the group's old offset by the time that a processor starts: it is an
// offset of commands that are lost, and those that are there now begin before it.
func TestCommandsGrownBeyondTheOldOffset(t *testing.T) {
	l := newLossLab(t)
	_, stop := l.process(l.looking)
	l.fill(l.publisher())
	stop()
	cutBack := l.mark(accountTopics.Commands)
	_, stop = l.process(l.looking)
	l.fill(l.publisher())
	stop()
	cutBack()
	if lost := l.accept(); len(lost) != 1 {
		t.Fatalf("accepted: %v", lost)
	}
	for i := range int64(60) {
		l.unnamed(40+i, 1)
	}
	l.process(l.looking)
	if o := l.do(l.publisher(), command("s0", "deposit"), amount(1)); o.Version != 16+60+1 {
		t.Errorf("version %d, want %d", o.Version, 16+60+1)
	}
}

// After commands were lost, an offset that is committed says again where to go on, though neither the
// store nor an outcome is left to tell.
func TestOffsetsCountAgainAfterALoss(t *testing.T) {
	l := newLossLab(t)
	_, stop := l.process(l.looking)
	l.fill(l.publisher())
	stop()
	l.delete(accountTopics.Commands)
	l.apply()
	l.accept()
	l.check()
	_, stop = l.process(l.looking)
	p := l.publisher()
	l.do(p, command("s0", "deposit"), amount(1))
	if o := l.do(p, command("s0", "withdraw"), amount(1000)); o.Kind != event.Rejected {
		t.Fatalf("%+v", o)
	}
	stop()
	end := l.end(accountTopics.Outcomes)
	if err := l.cluster.DeleteRecords(accountTopics.Outcomes, 0, end); err != nil {
		t.Fatal(err)
	}
	l.dir = t.TempDir()
	l.process(l.looking)
	if o := l.do(l.publisher(), command("s0", "deposit"), amount(1)); o.Version != 10 {
		t.Errorf("%+v", o)
	}
	var again []*kgo.Record
	for _, r := range l.logged(accountTopics.Outcomes) {
		if r.Attrs.IsTransactional() {
			again = append(again, r)
		}
	}
	if len(again) != 1 {
		t.Errorf("%d commands were decided, want the new one only", len(again))
	}
}

// Commands are cut off under a partition that serves: its client begins again at the start, and what was
// decided is not decided once more.
func TestCommandsCutOffWhileServing(t *testing.T) {
	l := newLossLab(t)
	_, stop := l.process(l.looking)
	l.fill(l.publisher())
	stop()
	cutBack := l.mark(accountTopics.Commands)
	proc, _ := l.process(l.looking)
	p := l.publisher()
	l.fill(p)
	cutBack()
	if _, err := l.publisher().Publish(l.context(10*time.Second), command("s0", "deposit"), "account", record.JSON, amount(1)); err != nil {
		t.Fatal(err)
	}
	if why := l.stopped(proc); !strings.Contains(why, accountTopics.Commands+" ends at offset 41, but commands up to 80 were decided") {
		t.Errorf("it says %s", why)
	}
	if got := len(l.events()["s0"]); got != 16 {
		t.Errorf("stream s0 has %d events, want 16", got)
	}
	l.accept()
	l.serves(proc)
	if o := l.do(l.publisher(), command("s0", "deposit"), amount(1)); o.Version != 17 {
		t.Errorf("%+v", o)
	}
}
