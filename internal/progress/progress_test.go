package progress

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestNothingButLogsWithoutTerminal(t *testing.T) {
	var out buffer
	d := New(&out)
	b := d.Bar("import", 10)
	b.Add(3)
	b.Set(5, 10)
	if _, err := d.Write([]byte("a log\n")); err != nil {
		t.Fatal(err)
	}
	b.Done()
	if got := out.String(); got != "a log\n" {
		t.Errorf("%q, want only the log", got)
	}
}

func TestBars(t *testing.T) {
	var out buffer
	d := newDisplay(&out, true)
	one, two := d.Bar("import", 139_318), d.Bar("catching up", 0)
	one.Add(139_000)
	two.Set(1, 4)
	if _, err := d.Write([]byte("a log\n")); err != nil {
		t.Fatal(err)
	}
	one.Add(318)
	one.Done()
	one.Abandon()
	two.Abandon()
	if _, err := d.Write([]byte("afterwards\n")); err != nil {
		t.Fatal(err)
	}
	got := out.String()
	for _, want := range []string{"a log\n", "139,318 / 139,318", "100 %", "1 / 4", " 25 %", "import", "catching up"} {
		if !strings.Contains(got, want) {
			t.Errorf("the output lacks %q:\n%s", want, got)
		}
	}
	if !strings.HasSuffix(got, "\nafterwards\n") {
		t.Errorf("the last line is not the last log:\n%q", got)
	}
	// The display can be used again.
	three := d.Bar("again", 1)
	three.Add(1)
	three.Done()
	if !strings.Contains(out.String()[len(got):], "again") {
		t.Error("the second bar was not shown")
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1000: "-1,000", 139318: "139,318", 1234567: "1,234,567", -123: "-123"} {
		if got := Count(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}
