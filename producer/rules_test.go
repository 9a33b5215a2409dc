package producer

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/cqrsflow/cqrsflow/event"
)

// A clock that goes back does not take a stream back: recorded times never decrease within it.
func TestClockGoesBack(t *testing.T) {
	l := newLab(t, 1)
	var back atomic.Int64
	began := time.Now()
	l.process(func(c *Config) { c.Clock = func() time.Time { return began.Add(-time.Duration(back.Load())) } })
	p := l.publisher()
	first := l.do(p, command("a", "deposit"), amount(1))
	back.Store(int64(time.Hour))
	second := l.do(p, command("a", "deposit"), amount(1))
	other := l.do(p, command("b", "deposit"), amount(1))
	if second.RecordedTime.Before(first.RecordedTime) {
		t.Errorf("recorded %v after %v", second.RecordedTime, first.RecordedTime)
	}
	if !other.RecordedTime.Before(first.RecordedTime) {
		t.Errorf("another stream is recorded %v, the clock was set back from %v", other.RecordedTime, first.RecordedTime)
	}
	events := l.events()["a"]
	if len(events) != 2 || events[1].RecordedTime.Before(events[0].RecordedTime) {
		t.Errorf("%+v", events)
	}
}

// An event that the broker would refuse is refused when it is decided, and leaves nothing.
func TestEventTooLarge(t *testing.T) {
	l := newLab(t, 1)
	l.typ.Codec = largeEvents{}
	l.process(func(c *Config) { c.EventBytes = 1 << 10 })
	p := l.publisher()
	if o := l.do(p, command("a", "deposit"), amount(2000)); o.Kind != event.Rejected || o.Code != CodeEventTooLarge || o.Version != 0 {
		t.Errorf("%+v", o)
	}
	if o := l.do(p, command("a", "deposit"), amount(10)); o.Kind != event.Accepted || o.Version != 1 {
		t.Errorf("%+v", o)
	}
	if n := len(l.events()["a"]); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
}

// largeEvents pads an event with as many spaces as its amount.
type largeEvents struct{ accountCodec }

func (c largeEvents) EncodeEvent(buf []byte, body any) (string, string, []byte, error) {
	typ, content, data, err := c.accountCodec.EncodeEvent(buf, body)
	return typ, content, append(data, strings.Repeat(" ", int(body.(accountEvent).Delta))...), err
}

// A restore asks for stable offsets only (KIP-447): one that a transaction is about to commit would be missed.
func TestRestoreAsksForStableOffsets(t *testing.T) {
	l := newLab(t, 1)
	var stable, unstable atomic.Int64
	l.cluster.ControlKey(int16(kmsg.OffsetFetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		l.cluster.KeepControl()
		if req.(*kmsg.OffsetFetchRequest).RequireStable {
			stable.Add(1)
		} else {
			unstable.Add(1)
		}
		return nil, nil, false
	})
	l.process()
	l.do(l.publisher(), command("a", "deposit"), amount(1))
	if stable.Load() == 0 || unstable.Load() > 0 {
		t.Errorf("%d requests for stable offsets, %d for others", stable.Load(), unstable.Load())
	}
}
