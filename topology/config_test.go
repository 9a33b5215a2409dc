package topology

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cqrsflow/cqrsflow/event"
)

func TestConfigDefaults(t *testing.T) {
	for name, tc := range map[string]struct{ in, want Config }{
		"zero":           {Config{}, Config{Prefix: "cqrsflow", Partitions: 8, Replication: 3, MinISR: 2, CommandRetention: 30 * 24 * time.Hour}},
		"single broker":  {Config{Replication: 1}, Config{Prefix: "cqrsflow", Partitions: 8, Replication: 1, MinISR: 1, CommandRetention: 30 * 24 * time.Hour}},
		"broker default": {Config{Replication: BrokerDefault, CommandRetention: Forever}, Config{Prefix: "cqrsflow", Partitions: 8, Replication: -1, CommandRetention: -1}},
	} {
		if diff := cmp.Diff(tc.want, tc.in.withDefaults()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if err := tc.in.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConfigOutOfBounds(t *testing.T) {
	for name, tc := range map[string]struct {
		in   Config
		want []string
	}{
		"prefix":       {Config{Prefix: "a b"}, []string{"Prefix", `"a b"`}},
		"prefix slash": {Config{Prefix: "a/b"}, []string{"Prefix"}},
		"prefix long":  {Config{Prefix: strings.Repeat("a", 200)}, []string{"Prefix", "at most 124"}},
		"partitions":   {Config{Partitions: -1}, []string{"Partitions", "-1", "1 to 10000"}},
		"replication":  {Config{Replication: -2}, []string{"Replication", "-2", "at least 1"}},
		"min isr":      {Config{Replication: 1, MinISR: 2}, []string{"MinISR", "2", "at most Replication (1)"}},
		"min isr < 0":  {Config{MinISR: -1}, []string{"MinISR", "-1"}},
		"retention":    {Config{CommandRetention: time.Hour}, []string{"CommandRetention", "1h0m0s", "24h0m0s"}},
	} {
		err := tc.in.Validate()
		if !errors.Is(err, event.ErrConfig) {
			t.Errorf("%s: error %v is no ErrConfig", name, err)
			continue
		}
		for _, w := range tc.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q does not name %q", name, err, w)
			}
		}
	}
}
