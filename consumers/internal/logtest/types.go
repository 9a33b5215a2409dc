package logtest

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/internal/aggregates"
)

// Types are the registrations of the named aggregates.
func Types(t testing.TB, names ...string) map[string]*decider.Type {
	t.Helper()
	out := map[string]*decider.Type{}
	for _, name := range names {
		typ, ok := aggregates.Lookup(name)
		if !ok {
			t.Fatalf("no aggregate type %s", name)
		}
		out[name] = typ
	}
	return out
}

// At is the n-th second of a log.
func At(n int) *timestamppb.Timestamp {
	return timestamppb.New(Epoch.Add(time.Duration(n) * time.Second))
}
