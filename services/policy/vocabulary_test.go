package policy

import (
	"errors"
	"strings"
	"testing"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
)

type anyCodec struct{ decider.Codec }

// aggregate is one with those attributes, whatever its state.
func aggregate(t *testing.T, name string, attributes map[string]any) *decider.Type {
	t.Helper()
	typ, err := decider.NewType(decider.Spec[string, string, string]{Name: name, Plural: name + "s", Codec: anyCodec{},
		Decider: decider.Decider[decider.Command[string], string, string]{Initial: func() string { return "" },
			Decide: func(decider.Command[string], string) ([]string, error) { return nil, nil }, Evolve: func(s, _ string) string { return s }},
		Commands:   []decider.CommandType{{Type: name + ".v1.Do", Name: "do"}},
		Attributes: func(string) map[string]any { return attributes }})
	if err != nil {
		t.Fatal(err)
	}
	return typ
}

func TestVocabularyIsMadeOfTheAggregates(t *testing.T) {
	v, err := NewVocabulary([]*decider.Type{
		aggregate(t, "user", map[string]any{"owner": "", "locked": false, "logins": int64(0), "the mail": ""}),
		aggregate(t, "email-claim", nil),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"entity User, Service, Anonymous in [Role];", "entity user = {\n  exists: Bool,\n  owner?: User,\n  \"locked\": Bool,\n  \"logins\": Long,\n  \"the mail\": String,\n};",
		`action "user.v1.Do" in ["user.commands"]`, "entity email_claim = {\n  exists: Bool,\n};", `action "email-claims.history" in ["history"]`} {
		if !strings.Contains(v.Schema(), want) {
			t.Errorf("%s is not in\n%s", want, v.Schema())
		}
	}
	// A user who asks is not the stream of one.
	s, err := Parse(v, []Source{{Name: "a.cedar", Text: []byte(`@id("self") permit (principal, action == Action::"user.v1.Do", resource == user::"u-1")
		when { resource has owner && principal == resource.owner && !resource.locked && resource.logins < 3 };`)}})
	if err != nil {
		t.Fatal(err)
	}
	r := &Request{Principal: user("u-1"), Command: "user.v1.Do", Stream: "u-1", Attributes: map[string]any{"owner": "u-1", "locked": false, "logins": int64(2), "the mail": ""}}
	if d := s.Command(r); !d.Allowed {
		t.Errorf("%+v", d)
	}
	r.Attributes["logins"] = int64(3)
	if d := s.Command(r); d.Allowed || d.Err != nil {
		t.Errorf("%+v", d)
	}
	if _, err := Parse(v, []Source{{Name: "a.cedar", Text: []byte(`@id("mixed") permit (principal == user::"u-1", action, resource);`)}}); err == nil {
		t.Error("a stream was taken for a principal")
	}
}

func TestAttributesThatPoliciesCannotKnow(t *testing.T) {
	for _, attributes := range []map[string]any{{"n": 1}, {"owner": true}, {"exists": true}, {"list": []string{}}, {"nothing": nil}} {
		if _, err := NewVocabulary([]*decider.Type{aggregate(t, "house", attributes)}); !errors.Is(err, event.ErrConfig) || !strings.Contains(err.Error(), "the aggregate house") {
			t.Errorf("%v: %v", attributes, err)
		}
	}
}
