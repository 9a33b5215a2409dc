package producer

import (
	"github.com/cqrsflow/cqrsflow/event"
)

// unheard is a command that something else caused, mostly an event through a reactor, and that was not accepted: its
// outcome is on the log, but nobody waits for it. So it is logged and counted, once it is committed.
type unheard struct {
	aggregate, code string
	attrs           []any
}

// hear returns what is to be said of a command; false where it was accepted or somebody waits for it.
func hear(c *event.Command, o *event.Outcome) (unheard, bool) {
	if o.Kind == event.Accepted || c.CausationID == "" {
		return unheard{}, false
	}
	return unheard{o.Aggregate, o.Code, []any{"aggregate", o.Aggregate, "stream", string(o.Stream), "command", c.Type, "commandId", o.CommandID,
		"causationId", c.CausationID, "outcome", o.Kind.String(), "code", o.Code, "message", o.Message}}, true
}

func (w *worker) tell(all []unheard) {
	for i := range all {
		w.log.Warn("a command that was caused by something else was not accepted; nobody waits for its answer", all[i].attrs...)
		if h := w.p.cfg.Hooks.Unheard; h != nil {
			h(all[i].aggregate, all[i].code)
		}
	}
}
