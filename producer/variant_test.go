package producer

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/event/principal"
	"github.com/cqrsflow/cqrsflow/internal/secret"
)

// withVariants is the account with a variant that doubles deposits and refuses everything else.
func withVariants(t testing.TB) *decider.Type {
	typ, err := decider.NewType(decider.Spec[accountCommand, accountEvent, accountState]{
		Name: "account", Plural: "accounts", Fingerprint: 1, Decider: accountDecider, Codec: accountCodec{},
		Variants: []decider.Variant[accountCommand, accountEvent, accountState]{{Name: "double",
			Decide: func(c decider.Command[accountCommand], _ accountState) ([]accountEvent, error) {
				if c.Body.Op != "deposit" {
					return nil, event.Reject("deposits_only", "no")
				}
				return []accountEvent{{2 * c.Body.Amount}}, nil
			}}},
		Commands: []decider.CommandType{{Type: "account.v1.deposit", Name: "deposit", Public: true}},
		Events:   []string{"account.v1.Changed"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return typ
}

// A command is decided by the variant that was assigned to it, and by the default where nobody vouches for the
// assignment or nobody knows it: an experiment never makes a command fail. Events and outcomes say which variant decided.
func TestTheAssignedVariantDecides(t *testing.T) {
	l := newLab(t, 1)
	l.typ = withVariants(t)
	var mu sync.Mutex
	counted := map[string]int{}
	p, err := NewProcessor(l.config(func(c *Config) {
		c.Hooks.Variant = func(aggregate, result string) {
			mu.Lock()
			defer mu.Unlock()
			counted[aggregate+" "+result]++
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	p.workers[0].step.signed = func(c *event.Command) bool { return c.Principal == "" && c.CorrelationID != "forged" }
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = p.Run(ctx)
	}()
	defer func() { stop(); <-done }()
	pub := l.publisher()
	for _, tc := range []struct {
		op, variant, correlation string
		kind                     event.Kind
		balance                  int64
		carried                  string
	}{
		{"deposit", "", "", event.Accepted, 1, ""},
		{"deposit", "bonus=double", "", event.Accepted, 3, "bonus=double"},
		{"deposit", "bonus=v1", "", event.Accepted, 4, "bonus=v1"},
		{"withdraw", "bonus=double", "", event.Rejected, 4, "bonus=double"},
		{"deposit", "bonus=double", "forged", event.Accepted, 5, ""},
		{"deposit", "bonus=treble", "", event.Accepted, 6, ""},
		{"deposit", "double", "", event.Accepted, 7, ""},
	} {
		c := command("s1", tc.op)
		c.Variant, c.CorrelationID = tc.variant, tc.correlation
		o := l.do(pub, c, amount(1))
		if o.Kind != tc.kind || o.Variant != tc.carried || state(t, o).Balance != tc.balance {
			t.Errorf("%+v: %v %q, balance %d", tc, o.Kind, o.Variant, state(t, o).Balance)
		}
	}
	var carried []string
	for _, e := range l.events()["s1"] {
		carried = append(carried, e.Variant)
	}
	want := []string{"", "bonus=double", "bonus=v1", "", "", ""}
	if !slices.Equal(carried, want) {
		t.Errorf("events carry %q, want %q", carried, want)
	}
	mu.Lock()
	defer mu.Unlock()
	if want := map[string]int{"account used": 3, "account unsigned": 1, "account unknown": 2}; !maps.Equal(counted, want) {
		t.Errorf("counted %v, want %v", counted, want)
	}
}

// Where there are keys, a variant counts under a signature only; without keys nobody is told from another, and it counts as it is.
func TestAVariantCountsWhereItsCommandDoes(t *testing.T) {
	for _, tc := range []struct {
		name         string
		keys, signed bool
		balance      int64
	}{{"no keys", false, false, 2}, {"unsigned", true, false, 1}, {"signed", true, true, 2}} {
		t.Run(tc.name, func(t *testing.T) {
			l := newLab(t, 1)
			l.typ = withVariants(t)
			keys := keyring(t, secret.Generate("a"))
			l.process(func(c *Config) {
				if tc.keys {
					c.Principals = keys
				}
			})
			pub := l.publisher(func(c *PublisherConfig) {
				if tc.signed {
					c.Sign = (&principal.Signer{Keys: keys, As: ada}).Sign
				}
			})
			c := command("s1", "deposit")
			c.Variant = "bonus/1=double@ada"
			o := l.do(pub, c, amount(1))
			want := ""
			if tc.balance == 2 {
				want = c.Variant
			}
			if o.Kind != event.Accepted || o.Variant != want || state(t, o).Balance != tc.balance {
				t.Errorf("%v %q, balance %d", o.Kind, o.Variant, state(t, o).Balance)
			}
			for _, e := range l.events()["s1"] {
				if e.Variant != want {
					t.Errorf("the event carries %q", e.Variant)
				}
			}
		})
	}
}
