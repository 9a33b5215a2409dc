package api

import (
	"context"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/event/principal"
	"github.com/cqrsflow/cqrsflow/experiment"
)

// unitHeader says which customer a command is for, where its body does not.
const unitHeader = "Cqrs-Unit"

// assign gives a command that has been read the variant that its unit sees. It comes before the command is signed, as the
// variant is under the signature. where names what said the unit. An experiment never makes a command fail, but a unit that is
// none is a mistake of the caller's.
func (a *API) assign(ctx context.Context, s *submission, where, unit string) error {
	if unit != "" {
		if err := event.CheckStreamID(event.StreamID(unit)); err != nil {
			return malformed(where, streamMessage(err))
		}
	}
	if a.cfg.Assigner == nil || !a.cfg.Assigner.Tries(s.aggregate.Name) {
		return nil
	}
	s.command.Variant = a.cfg.Assigner.Assign(s.aggregate.Name, func(kind string) string {
		switch kind {
		case experiment.Stream:
			return string(s.command.Stream)
		case experiment.Customer:
			if owner := s.owner(); owner != "" {
				return owner
			}
			return unit
		case experiment.User:
			if p := principal.FromContext(ctx); p.Kind == principal.User {
				return p.ID
			}
		}
		return ""
	})
	return nil
}

// owner is who the command's body makes the owner of the stream; empty for nobody, or what is no ID.
func (s *submission) owner() string {
	body, err := s.aggregate.Codec.DecodeCommand(s.command.Type, s.contentType, s.body)
	if err != nil {
		return ""
	}
	owner := s.aggregate.Owner(body)
	if event.CheckStreamID(event.StreamID(owner)) != nil {
		return ""
	}
	return owner
}
