// Package aggregates registers the aggregate types that come with cqrsflow. A type more is one line more in All.
package aggregates

import (
	"fmt"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/domain/account"
	"github.com/cqrsflow/cqrsflow/domain/customer"
	"github.com/cqrsflow/cqrsflow/domain/order"
	benchschema "github.com/cqrsflow/cqrsflow/schemas/bench"
	customerschema "github.com/cqrsflow/cqrsflow/schemas/customer"
	orderschema "github.com/cqrsflow/cqrsflow/schemas/order"
)

var all = []*decider.Type{
	registered(order.Spec(orderschema.Codec)),
	registered(customer.Spec(customerschema.Codec)),
}

var benchmark = registered(account.Spec(benchschema.FastCodec{}))

// registered is decider.NewType for what is compiled in: a mistake in it is a mistake in the program.
func registered[D, E, S any](s decider.Spec[D, E, S]) *decider.Type {
	t, err := decider.NewType(s)
	if err != nil {
		panic(fmt.Sprintf("aggregates: %v", err))
	}
	return t
}

// All returns every aggregate type but the benchmarks'. The slice is the caller's.
func All() []*decider.Type { return append([]*decider.Type(nil), all...) }

// Names returns the names of All, in its order: what topology.New takes.
func Names() []string {
	names := make([]string, len(all))
	for i, t := range all {
		names[i] = t.Name
	}
	return names
}

// Lookup returns the type with that name, singular or plural.
func Lookup(name string) (*decider.Type, bool) {
	for _, t := range all {
		if t.Name == name || t.Plural == name {
			return t, true
		}
	}
	return nil, false
}

// Account is the benchmarks' aggregate type. It is not among All: it has no place in a real system.
func Account() *decider.Type { return benchmark }
