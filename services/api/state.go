package api

import (
	"encoding/json"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
)

// StateJSON renders an aggregate's state as the API does, wherever it was folded; null at version 0. A read
// model's row of the same version looks the same, which is what tools compare.
func StateJSON(t *decider.Type, id event.StreamID, v event.Version, state any) (json.RawMessage, error) {
	return stateJSON(t, id, v, state)
}
