package api

import (
	"testing"

	"github.com/cqrsflow/cqrsflow/internal/aggregates"
	"github.com/cqrsflow/cqrsflow/schemas"
)

// Examples of commands are taken: they can be read, and break no rule of their schema.
func TestExamplesOfCommandsAreValid(t *testing.T) {
	found := 0
	for _, typ := range aggregates.All() {
		for _, c := range typ.Commands {
			if c.Example == "" {
				continue
			}
			found++
			body, err := typ.Codec.DecodeCommand(c.Type, schemas.ContentTypeJSON, []byte(c.Example))
			if err != nil {
				t.Errorf("%s: %v", c.Type, err)
				continue
			}
			if broken := typ.Codec.ValidateCommand(body); broken != nil {
				t.Errorf("%s: %v", c.Type, broken)
			}
		}
	}
	if found == 0 {
		t.Error("no command has an example")
	}
}
