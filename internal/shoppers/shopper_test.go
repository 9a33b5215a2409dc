package shoppers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/cqrsflow/cqrsflow/domain/order"
	"github.com/cqrsflow/cqrsflow/event"
)

// The same seed gives the same customers; others are others.
func TestCustomersAreTheSameEachTime(t *testing.T) {
	for n := range 50 {
		if a, b := New(1, n), New(1, n); !reflect.DeepEqual(a, b) {
			t.Fatalf("customer %d is %+v, and then %+v", n, a, b)
		}
	}
	if reflect.DeepEqual(New(1, 0).Items, New(2, 0).Items) && reflect.DeepEqual(New(1, 1).Items, New(2, 1).Items) || New(1, 0).ID == New(2, 0).ID {
		t.Error("another seed gives the same customers")
	}
}

// Who sees no fee does the same under both variants; who sees one pays, buys more, or leaves, in the shares that were asked for.
func TestResponses(t *testing.T) {
	const customers = 20_000
	var met, added, left, paid int
	for n := range customers {
		s := New(7, n)
		total := int64(0)
		for _, i := range s.Items {
			total += i
		}
		without, with := s.Respond(order.V1, DefaultPeople), s.Respond(order.V2, DefaultPeople)
		if without.Pays {
			paid++
		}
		if total >= order.FreeShippingFrom || !without.Pays {
			if with != without {
				t.Fatalf("%s, who sees no fee, does %+v, and else %+v", s.ID, with, without)
			}
			continue
		}
		met++
		switch {
		case with.Add > 0:
			added++
			if total+with.Add < order.FreeShippingFrom || !with.Pays {
				t.Fatalf("%s buys more and saves nothing: %d and %+v", s.ID, total, with)
			}
		case !with.Pays:
			left++
		}
	}
	if share := float64(paid) / customers; share < 0.54 || share > 0.56 {
		t.Errorf("%v pay without a fee", share)
	}
	if share := float64(left) / float64(met-added); share < 0.02 || share > 0.04 {
		t.Errorf("of those who pay the fee or leave %v leave", share)
	}
	if added == 0 || met < customers/10 {
		t.Errorf("%d of %d buy more", added, met)
	}
	if err := (People{Buy: 2}).Check(); !errors.Is(err, event.ErrInvalid) {
		t.Error(err)
	}
}

// shop answers batches; it refuses commands with an ID of its own.
type shop struct {
	mu      sync.Mutex
	lines   []line
	refuses string
}

func (s *shop) send(_ context.Context, lines []byte) ([]byte, error) {
	var out bytes.Buffer
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, text := range bytes.Split(bytes.TrimSpace(lines), []byte("\n")) {
		var l line
		if err := json.Unmarshal(text, &l); err != nil {
			return nil, err
		}
		s.lines = append(s.lines, l)
		if l.CommandID == s.refuses {
			fmt.Fprintln(&out, `{"status":409,"code":"order_cancelled","detail":"it is cancelled"}`)
			continue
		}
		fmt.Fprintf(&out, `{"status":200,"position":"order/%d@%d"}`+"\n", len(s.lines)%2, i)
	}
	return out.Bytes(), nil
}

func TestVisits(t *testing.T) {
	s, told := &shop{}, 0
	var mu sync.Mutex
	v := Visits{Seed: 1, Customers: 250, People: DefaultPeople, Variant: func(string) string { return order.V2 }, Send: s.send, Visited: func(n int) {
		mu.Lock()
		defer mu.Unlock()
		told += n
	}}
	r, err := v.Run(t.Context())
	if err != nil || r.Customers != 250 || r.Paid+r.Cancelled != 250 || told != 250 || len(r.Positions) != 2 {
		t.Fatalf("%+v, %v, told %d", r, err, told)
	}
	of := map[string][]string{}
	for _, l := range s.lines {
		of[l.ID] = append(of[l.ID], l.Command)
		if l.Unit != "shopper-"+strings.TrimPrefix(l.ID, "shop-") || l.CommandID != l.ID+"-"+l.Command {
			t.Errorf("%+v", l)
		}
	}
	lives := map[string]int{}
	for _, life := range of {
		lives[strings.Join(life, " ")]++
	}
	if len(lives) != 3 || lives["place pay"]+lives["place add-line pay"] != r.Paid || lives["place cancel"] != r.Cancelled || lives["place add-line pay"] != r.ToppedUp {
		t.Errorf("%v, %+v", lives, r)
	}
	s.refuses = "shop-1-7-place"
	if _, err := v.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "place of shop-1-7: it is cancelled (order_cancelled)") {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := v.Run(ended); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
