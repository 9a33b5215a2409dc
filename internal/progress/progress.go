// Package progress shows how far something long has come, as bars on a terminal; elsewhere it shows nothing.
// Logs go through a Display while it has bars, so that they appear above them instead of through them.
package progress

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/cwriter"
	"github.com/vbauerster/mpb/v8/decor"
)

// IsTerminal reports whether w is a terminal.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && cwriter.IsTerminal(int(f.Fd()))
}

// Display writes bars, and what is written to it above them, to one writer. It is safe for concurrent use.
type Display struct {
	out   io.Writer
	shown bool

	mu struct {
		sync.Mutex
		// bars is the container while there are bars; active counts those that have not ended.
		bars   *mpb.Progress
		active int
	}
}

// New makes a display on w, normally os.Stderr. Bars are shown where it is a terminal.
func New(w io.Writer) *Display { return newDisplay(w, IsTerminal(w)) }

func newDisplay(w io.Writer, shown bool) *Display { return &Display{out: w, shown: shown} }

// Write writes above the bars.
func (d *Display) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.bars != nil {
		if n, err := d.mu.bars.Write(p); err == nil {
			return n, nil
		}
	}
	return d.out.Write(p)
}

// Bar begins a bar; total may be 0 where it is not known yet. End it with Done or Abandon, whatever happens.
func (d *Display) Bar(name string, total int64) *Bar {
	b := &Bar{display: d}
	if !d.shown {
		return b
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.bars == nil {
		d.mu.bars = mpb.New(mpb.WithOutput(d.out), mpb.WithAutoRefresh(), mpb.WithRefreshRate(150*time.Millisecond))
	}
	d.mu.active++
	start := time.Now()
	b.bar = d.mu.bars.New(0, mpb.BarStyle().Lbound("[").Filler("█").Tip("█").Padding("░").Rbound("]"),
		mpb.PrependDecorators(decor.Name(name+" ", decor.WCSyncSpaceR), decor.Any(counter, decor.WCSyncSpace)),
		mpb.AppendDecorators(decor.Any(func(s decor.Statistics) string { return rest(s, time.Since(start)) })))
	b.bar.SetTotal(total, false)
	return b
}

// ended closes the container behind its last bar, so that the next output goes straight to the writer.
func (d *Display) ended() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.active--; d.mu.active == 0 {
		d.mu.bars.Wait()
		d.mu.bars = nil
	}
}

// Bar counts something. Where nothing is shown its methods do nothing.
type Bar struct {
	display *Display
	bar     *mpb.Bar
	once    sync.Once
}

// Add counts n more.
func (b *Bar) Add(n int) {
	if b.bar != nil {
		b.bar.IncrBy(n)
	}
}

// Set says how far it has come, and of how much.
func (b *Bar) Set(done, total int64) {
	if b.bar != nil {
		b.bar.SetTotal(total, false)
		b.bar.SetCurrent(done)
	}
}

// Done ends the bar as complete.
func (b *Bar) Done() {
	if b.bar == nil {
		return
	}
	b.once.Do(func() {
		b.bar.SetTotal(-1, true)
		b.display.ended()
	})
}

// Abandon ends the bar where it stands. After Done it does nothing, so it can be deferred.
func (b *Bar) Abandon() {
	if b.bar == nil {
		return
	}
	b.once.Do(func() {
		b.bar.Abort(false)
		b.display.ended()
	})
}

func counter(s decor.Statistics) string {
	if s.Total <= 0 {
		return Count(s.Current)
	}
	return Count(s.Current) + " / " + Count(s.Total)
}

// rest reads " 43 %  12,345/s  8s left".
func rest(s decor.Statistics, took time.Duration) string {
	rate := float64(s.Current) / max(took.Seconds(), 1e-3)
	out := fmt.Sprintf("  %s/s", Count(int64(rate)))
	if s.Total > 0 {
		out = fmt.Sprintf(" %3d %%%s", s.Current*100/s.Total, out)
	}
	switch {
	case s.Completed || s.Aborted:
		out += fmt.Sprintf("  in %v", took.Round(100*time.Millisecond))
	case s.Total > 0 && rate > 0:
		left := time.Duration(float64(s.Total-s.Current) / rate * float64(time.Second))
		out += fmt.Sprintf("  %v left", left.Round(time.Second))
	}
	return out
}

// Count writes a number with commas between thousands.
func Count(n int64) string {
	s, sign := strconv.FormatInt(n, 10), 0
	if n < 0 {
		sign = 1
	}
	for i := len(s) - 3; i > sign; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
