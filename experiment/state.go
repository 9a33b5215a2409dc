package experiment

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
)

// The statuses of an experiment.
const (
	Defined = "defined"
	Running = "running"
	Stopped = "stopped"
	Decided = "decided"
)

// State is how far an experiment is: the aggregate's state as its codec renders it.
type State struct {
	Status     string     `json:"status"`
	PlanNumber int        `json:"planNumber"`
	Plan       Plan       `json:"plan"`
	DefinedAt  time.Time  `json:"definedAt"`
	StartedAt  *time.Time `json:"startedAt,omitempty"`
	StoppedAt  *time.Time `json:"stoppedAt,omitempty"`
	StopReason string     `json:"stopReason,omitempty"`
	Decision   *Decision  `json:"decision,omitempty"`
	// Outcomes is how many outcomes have been posted, of all plans.
	Outcomes int64 `json:"outcomes,omitempty"`
}

// Decision is what followed from an experiment.
type Decision struct {
	Variant   string    `json:"variant"`
	Reason    string    `json:"reason,omitempty"`
	DecidedAt time.Time `json:"decidedAt"`
}

// ParseState reads what the aggregate's codec renders. Its error wraps event.ErrUndecodable.
func ParseState(data []byte) (State, error) {
	var s State
	if err := json.Unmarshal(data, &s); err != nil {
		return State{}, fmt.Errorf("%w: state of an experiment: %w", event.ErrUndecodable, err)
	}
	return s, nil
}
