package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
)

// Names that every vocabulary has.
const (
	typeRole      = "Role"
	typeUser      = "User"
	typeService   = "Service"
	typeAnonymous = "Anonymous"
	typeReadModel = "ReadModel"
	typeAction    = "Action"

	groupCommands = "commands"
	groupQueries  = "queries"
	groupRead     = "read"
	groupHistory  = "history"

	attrExists    = "exists"
	attrOwner     = "owner"
	attrBackdated = "backdated"
	attrOwn       = "own"
)

// Vocabulary is what policies can speak of: principals, actions, resources and their attributes. It is immutable and safe
// for concurrent use.
type Vocabulary struct {
	text      string
	validator *validate.Validator
	// actions are the entities of commands, queries and groups, by ID.
	actions map[cedar.EntityUID]cedar.Entity
	// resources are the aggregates' entity types, by the aggregates' names.
	resources map[string]resource
	// commands have the aggregate's name by command type, queries the read model's by query type.
	commands, queries map[string]string
}

// resource is an aggregate as policies know it.
type resource struct {
	typ cedar.EntityType
	// attributes are the names and Cedar types of what a registration gives, without the owner.
	attributes map[string]string
	owned      bool
}

// NewVocabulary makes the words for the aggregates: an entity type each, an action each command, and for queries an action
// "<plural>.read" for what is now and one "<plural>.history" for what was. readModels are further ones, such as
// "daily_sales". Errors wrap event.ErrConfig.
func NewVocabulary(types []*decider.Type, readModels ...string) (*Vocabulary, error) {
	v := &Vocabulary{actions: map[cedar.EntityUID]cedar.Entity{}, resources: map[string]resource{}, commands: map[string]string{}, queries: map[string]string{}}
	var b strings.Builder
	fmt.Fprintf(&b, "// Who asks.\nentity %s;\nentity %s, %s, %s in [%[1]s];\n\n", typeRole, typeUser, typeService, typeAnonymous)
	fmt.Fprintf(&b, "// What queries ask for.\nentity %s;\n\n", typeReadModel)
	v.group(&b, groupCommands)
	v.group(&b, groupQueries)
	v.group(&b, groupRead, groupQueries)
	v.group(&b, groupHistory, groupQueries)
	for _, t := range types {
		r, err := resourceOf(t)
		if err != nil {
			return nil, err
		}
		v.resources[t.Name] = r
		v.aggregate(&b, t, r)
	}
	for _, name := range readModels {
		fmt.Fprintln(&b)
		v.query(&b, name, groupRead)
	}
	v.text = b.String()
	var s schema.Schema
	if err := s.UnmarshalCedar([]byte(v.text)); err != nil {
		return nil, fmt.Errorf("%w: policies: the schema that was made of the aggregates: %w", event.ErrConfig, err)
	}
	resolved, err := s.Resolve()
	if err != nil {
		return nil, fmt.Errorf("%w: policies: the schema that was made of the aggregates: %w", event.ErrConfig, err)
	}
	v.validator = validate.New(resolved)
	return v, nil
}

// Schema is the vocabulary as a Cedar schema, for editors and other tools.
func (v *Vocabulary) Schema() string { return v.text }

// Queries are the query types, sorted: what Scope knows.
func (v *Vocabulary) Queries() []string { return slices.Sorted(maps.Keys(v.queries)) }

// Commands are the command types, sorted.
func (v *Vocabulary) Commands() []string { return slices.Sorted(maps.Keys(v.commands)) }

func (v *Vocabulary) aggregate(b *strings.Builder, t *decider.Type, r resource) {
	fmt.Fprintf(b, "\n// The aggregate %s.\nentity %s = {\n  %s: Bool,\n", t.Name, r.typ, attrExists)
	if r.owned {
		fmt.Fprintf(b, "  %s?: %s,\n", attrOwner, typeUser)
	}
	for _, name := range slices.Sorted(maps.Keys(r.attributes)) {
		fmt.Fprintf(b, "  %q: %s,\n", name, r.attributes[name])
	}
	b.WriteString("};\n")
	all := t.Name + "." + groupCommands
	v.group(b, all, groupCommands)
	for _, c := range t.Commands {
		v.commands[c.Type] = t.Name
		v.action(b, c.Type, all)
		fmt.Fprintf(b, " appliesTo {\n  principal: [%s, %s, %s], resource: [%s], context: {%s?: %s, %s: Bool}\n};\n",
			typeUser, typeService, typeAnonymous, r.typ, attrOwner, typeUser, attrBackdated)
	}
	v.query(b, t.Plural, groupRead)
	v.query(b, t.Plural, groupHistory)
}

// query declares what can be asked of a read model: whether the asker may see rows, of their own and of others.
func (v *Vocabulary) query(b *strings.Builder, model, group string) {
	id := model + "." + group
	v.queries[id] = model
	v.action(b, id, group)
	fmt.Fprintf(b, " appliesTo {\n  principal: [%s, %s, %s], resource: [%s], context: {%s: Bool}\n};\n",
		typeUser, typeService, typeAnonymous, typeReadModel, attrOwn)
}

func (v *Vocabulary) group(b *strings.Builder, id string, in ...string) {
	v.action(b, id, in...)
	b.WriteString(";\n")
}

func (v *Vocabulary) action(b *strings.Builder, id string, in ...string) {
	parents := make([]cedar.EntityUID, len(in))
	quoted := make([]string, len(in))
	for i, p := range in {
		parents[i], quoted[i] = uid(typeAction, p), fmt.Sprintf("%q", p)
	}
	// An action's ancestors are looked up one by one: the groups are entities, too.
	v.actions[uid(typeAction, id)] = cedar.Entity{UID: uid(typeAction, id), Parents: cedar.NewEntityUIDSet(parents...)}
	fmt.Fprintf(b, "action %q", id)
	if len(in) > 0 {
		fmt.Fprintf(b, " in [%s]", strings.Join(quoted, ", "))
	}
}

// resourceOf learns an aggregate's attributes from its initial state.
func resourceOf(t *decider.Type) (resource, error) {
	r := resource{typ: entityType(t.Name), attributes: map[string]string{}}
	for name, value := range t.Attributes(t.Initial()) {
		typ := ""
		switch value.(type) {
		case string:
			typ = "String"
		case bool:
			typ = "Bool"
		case int64:
			typ = "Long"
		}
		switch {
		case name == attrOwner && typ == "String":
			r.owned = true
			continue
		case name == attrOwner, name == attrExists, typ == "":
			return r, fmt.Errorf("%w: policies: the attribute %q of the aggregate %s is a %T: it must be a string, bool or int64, the owner a string, and not be called %s",
				event.ErrConfig, name, t.Name, value, attrExists)
		}
		r.attributes[name] = typ
	}
	return r, nil
}

// entityType makes "email_claim" of "email-claim". What has a capital is a principal, so a user who asks, User::"u-1", and the
// stream of one, user::"u-1", are told apart.
func entityType(aggregate string) cedar.EntityType {
	return cedar.EntityType(strings.ReplaceAll(aggregate, "-", "_"))
}

func uid(typ cedar.EntityType, id string) cedar.EntityUID {
	return cedar.NewEntityUID(typ, cedar.String(id))
}
