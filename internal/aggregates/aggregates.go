// Package aggregates registers the aggregate types that come with cqrsflow. A type more is one line more in All.
package aggregates

import (
	"fmt"
	"slices"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/domain/account"
	"github.com/cqrsflow/cqrsflow/domain/customer"
	"github.com/cqrsflow/cqrsflow/domain/emailclaim"
	"github.com/cqrsflow/cqrsflow/domain/experiment"
	"github.com/cqrsflow/cqrsflow/domain/order"
	"github.com/cqrsflow/cqrsflow/domain/session"
	"github.com/cqrsflow/cqrsflow/domain/source"
	"github.com/cqrsflow/cqrsflow/domain/user"
	benchschema "github.com/cqrsflow/cqrsflow/schemas/bench"
	customerschema "github.com/cqrsflow/cqrsflow/schemas/customer"
	emailclaimschema "github.com/cqrsflow/cqrsflow/schemas/emailclaim"
	experimentschema "github.com/cqrsflow/cqrsflow/schemas/experiment"
	orderschema "github.com/cqrsflow/cqrsflow/schemas/order"
	sessionschema "github.com/cqrsflow/cqrsflow/schemas/session"
	sourceschema "github.com/cqrsflow/cqrsflow/schemas/source"
	userschema "github.com/cqrsflow/cqrsflow/schemas/user"
)

var all = []*decider.Type{
	registered(order.Spec(orderschema.Codec)),
	registered(customer.Spec(customerschema.Codec)),
	registered(user.Spec(userschema.Codec)),
	registered(session.Spec(sessionschema.Codec)),
	registered(emailclaim.Spec(emailclaimschema.Codec)),
	registered(source.Spec(sourceschema.Codec)),
	registered(experiment.Spec(experimentschema.Codec)),
}

// identity are the types of which nothing may be shown, or done, without permission.
var identity = []string{user.Name, session.Name, emailclaim.Name, source.Name}

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

// Open returns the types of All whose streams anybody may see and command who reaches the API.
func Open() []*decider.Type {
	return slices.DeleteFunc(All(), func(t *decider.Type) bool { return slices.Contains(identity, t.Name) })
}

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
