package producer

import (
	"strconv"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// The window keeps at least as many commands as it must and not many more, by count and by age.
func TestWindowBounds(t *testing.T) {
	key := func(i int) knownKey { return knownKeyOf("s", "", strconv.Itoa(i)) }
	for name, c := range map[string]struct {
		limits limits
		step   time.Duration
	}{
		"by count": {limits{windowCount: 100, windowAge: 24 * time.Hour}, time.Millisecond},
		"by age":   {limits{windowCount: 1_000_000, windowAge: 100 * time.Minute}, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := openStore(t.TempDir(), nil, pebbleLog{quiet})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := s.close(); err != nil {
					t.Error(err)
				}
			}()
			var cp checkpoint
			var scratch []byte
			for i := range 1000 {
				b := s.db.NewBatch()
				k := known{Offset: int64(i), Recorded: int64(i+1) * int64(c.step), Types: []string{"a", "b"}, Version: 7, Digest: digest{1}, Digested: true}
				if scratch, err = putKnown(b, &cp, &c.limits, key(i), &k, scratch); err != nil {
					t.Fatal(err)
				}
				if err := b.Commit(pebble.NoSync); err != nil {
					t.Fatal(err)
				}
			}
			found := 0
			for i := range 1000 {
				k, ok, err := s.known(cp.Epoch, key(i))
				switch {
				case err != nil:
					t.Fatal(err)
				case ok && (k.Offset != int64(i) || len(k.refs()) != 2 || k.refs()[0].Version != 6):
					t.Fatalf("%+v", k)
				case ok:
					found++
				case i >= 900:
					t.Fatalf("command %d has left the window", i)
				}
			}
			if found > 200 {
				t.Errorf("%d commands are in a window of 100", found)
			}
			stored := 0
			if err := s.scan([]byte{kKnown}, []byte{kKnown + 1}, func([]byte) bool { stored++; return true }); err != nil || stored != found {
				t.Errorf("%d stored, %d found, %v", stored, found, err)
			}
		})
	}
}
