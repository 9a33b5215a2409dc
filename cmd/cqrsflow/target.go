package main

import (
	"fmt"
	"strings"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/aggregates"
)

// aggregate finds a registered aggregate type by its name or its plural.
func aggregate(name string) (*decider.Type, error) {
	if t, ok := aggregates.Lookup(name); ok {
		return t, nil
	}
	return nil, usageError{fmt.Errorf("there is no aggregate type %q; there are %s", name, strings.Join(aggregates.Names(), ", "))}
}

// target reads "order/o-1".
func target(s string) (*decider.Type, event.StreamID, error) {
	name, id, ok := strings.Cut(s, "/")
	if !ok {
		return nil, "", usageError{fmt.Errorf("%q is no stream; write AGGREGATE/ID, such as order/o-1", s)}
	}
	t, err := aggregate(name)
	if err != nil {
		return nil, "", err
	}
	stream, err := event.ParseStreamID(id)
	if err != nil {
		return nil, "", usageError{err}
	}
	return t, stream, nil
}

// commandType finds a command of an aggregate type by its name or its wire type.
func commandType(t *decider.Type, name string) (decider.CommandType, error) {
	var names []string
	for _, c := range t.Commands {
		if name == c.Name || name == c.Type {
			return c, nil
		}
		names = append(names, c.Name)
	}
	return decider.CommandType{}, usageError{fmt.Errorf("%s has no command %q; it has %s", t.Name, name, strings.Join(names, ", "))}
}
