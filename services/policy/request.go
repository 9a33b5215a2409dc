package policy

import (
	"fmt"

	"github.com/cedar-policy/cedar-go"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/event/principal"
)

// Request is a command, and who asks for it.
type Request struct {
	// Principal is the zero value where nobody signed.
	Principal principal.Principal
	// Command is its type, such as "order.v1.PayOrder"; it says which aggregate, too.
	Command string
	Stream  event.StreamID
	// Exists says that the stream has events. Attributes are those of its state, as the registration gives them.
	Exists     bool
	Attributes map[string]any
	// Owner is the user that the command makes the owner; empty for none.
	Owner string
	// Backdated says that the command names its own time.
	Backdated bool
}

// world is one request with the entities that it is about: what Cedar evaluates.
type world struct {
	request cedar.Request
	who     cedar.Entity
	what    cedar.Entity
	actions map[cedar.EntityUID]cedar.Entity
}

// Get finds an entity; roles have nothing to be found.
func (w *world) Get(id cedar.EntityUID) (cedar.Entity, bool) {
	switch id {
	case w.who.UID:
		return w.who, true
	case w.what.UID:
		return w.what, true
	}
	e, ok := w.actions[id]
	return e, ok
}

// commandWorld makes the world of a command. It fails where the vocabulary has no such command, or the attributes are not as
// they were declared: policies that were checked with others would mean nothing.
func (v *Vocabulary) commandWorld(r *Request, anonymous []string) (*world, error) {
	aggregate, ok := v.commands[r.Command]
	if !ok {
		return nil, fmt.Errorf("%w: there is no command %q", event.ErrUnknownType, r.Command)
	}
	res := v.resources[aggregate]
	attributes := cedar.RecordMap{attrExists: cedar.Boolean(r.Exists)}
	for name, typ := range res.attributes {
		value, ok := valueOf(typ, r.Attributes[name])
		if !ok {
			return nil, fmt.Errorf("%w: the attribute %s of %s/%s is %T; the initial state has a %s", event.ErrInvalid, name, aggregate, r.Stream, r.Attributes[name], typ)
		}
		attributes[cedar.String(name)] = value
	}
	if owner, _ := r.Attributes[attrOwner].(string); res.owned && owner != "" {
		attributes[attrOwner] = uid(typeUser, owner)
	}
	context := cedar.RecordMap{attrBackdated: cedar.Boolean(r.Backdated)}
	if r.Owner != "" {
		context[attrOwner] = uid(typeUser, r.Owner)
	}
	return v.world(r.Principal, anonymous, r.Command, cedar.Entity{UID: uid(res.typ, string(r.Stream)), Attributes: cedar.NewRecord(attributes)}, context), nil
}

// queryWorld makes the world of a query for rows that are, or are not, the asker's own.
func (v *Vocabulary) queryWorld(p principal.Principal, anonymous []string, query string, own bool) (*world, error) {
	model, ok := v.queries[query]
	if !ok {
		return nil, fmt.Errorf("%w: there is no query %q", event.ErrUnknownType, query)
	}
	return v.world(p, anonymous, query, cedar.Entity{UID: uid(typeReadModel, model)}, cedar.RecordMap{attrOwn: cedar.Boolean(own)}), nil
}

func (v *Vocabulary) world(p principal.Principal, anonymous []string, action string, what cedar.Entity, context cedar.RecordMap) *world {
	id, roles := uid(typeAnonymous, "anonymous"), anonymous
	switch p.Kind {
	case principal.User:
		id, roles = uid(typeUser, p.ID), p.Roles
	case principal.Service:
		id, roles = uid(typeService, p.ID), p.Roles
	}
	parents := make([]cedar.EntityUID, len(roles))
	for i, r := range roles {
		parents[i] = uid(typeRole, r)
	}
	return &world{
		request: cedar.Request{Principal: id, Action: uid(typeAction, action), Resource: what.UID, Context: cedar.NewRecord(context)},
		who:     cedar.Entity{UID: id, Parents: cedar.NewEntityUIDSet(parents...)}, what: what, actions: v.actions,
	}
}

func valueOf(typ string, value any) (cedar.Value, bool) {
	switch x := value.(type) {
	case string:
		return cedar.String(x), typ == "String"
	case bool:
		return cedar.Boolean(x), typ == "Bool"
	case int64:
		return cedar.Long(x), typ == "Long"
	}
	return nil, false
}
