package revocation

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cqrsflow/cqrsflow/event"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	sessionv1 "github.com/cqrsflow/cqrsflow/schemas/session/v1"
	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
)

var epoch = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func at(minute int) *timestamppb.Timestamp {
	return timestamppb.New(epoch.Add(time.Duration(minute) * time.Minute))
}

func began(minute int) proto.Message {
	return &sessionv1.SessionStarted{User: "ada", AuthenticatedAt: at(minute)}
}

// recorded is an event of the user ada, or of a session.
type recorded struct {
	stream string
	body   proto.Message
	err    error
}

func TestWhoCounts(t *testing.T) {
	roles := []string{"clerk", "customer"}
	for name, tc := range map[string]struct {
		events []recorded
		want   verdict
		left   []string
	}{
		"nothing is known":              {nil, counts, roles},
		"a session":                     {[]recorded{{"s-1", began(1), nil}}, counts, roles},
		"revoked":                       {[]recorded{{"s-1", began(1), nil}, {"s-1", &sessionv1.SessionRevoked{}, nil}}, revoked, nil},
		"revoked, not seen to begin":    {[]recorded{{"s-1", &sessionv1.SessionRevoked{}, nil}}, revoked, nil},
		"another is revoked":            {[]recorded{{"s-2", &sessionv1.SessionRevoked{}, nil}}, counts, roles},
		"a role is taken":               {[]recorded{{"ada", &userv1.RolesSet{Roles: []string{"customer"}}, nil}}, counts, []string{"customer"}},
		"all roles are taken":           {[]recorded{{"ada", &userv1.RolesSet{}, nil}}, counts, []string{}},
		"a role is given":               {[]recorded{{"ada", &userv1.RolesSet{Roles: []string{"admin", "clerk", "customer"}}, nil}}, counts, roles},
		"taken and given again":         {[]recorded{{"ada", &userv1.RolesSet{}, nil}, {"ada", &userv1.RolesSet{Roles: roles}, nil}}, counts, roles},
		"registered, roles as at first": {[]recorded{{"ada", &userv1.UserRegistered{Roles: []string{"clerk"}}, nil}}, counts, []string{"clerk"}},
		"locked":                        {[]recorded{{"s-1", began(1), nil}, {"ada", &userv1.UserLocked{LockedAt: at(2)}, nil}}, revoked, nil},
		"locked and unlocked": {[]recorded{{"s-1", began(1), nil}, {"ada", &userv1.UserLocked{LockedAt: at(2)}, nil},
			{"ada", &userv1.UserUnlocked{}, nil}}, revoked, nil},
		"logged in after the lock": {[]recorded{{"ada", &userv1.UserLocked{LockedAt: at(2)}, nil}, {"ada", &userv1.UserUnlocked{}, nil},
			{"s-1", began(3), nil}}, counts, roles},
		"disabled":       {[]recorded{{"s-1", began(1), nil}, {"ada", &userv1.UserDisabled{}, nil}}, revoked, nil},
		"erased":         {[]recorded{{"s-1", began(1), nil}, {"ada", &userv1.UserErased{}, nil}}, revoked, nil},
		"password reset": {[]recorded{{"s-1", began(1), nil}, {"ada", &userv1.PasswordReset{ResetAt: at(2)}, nil}}, revoked, nil},
		"password reset, and logged in again at once": {[]recorded{{"ada", &userv1.PasswordReset{ResetAt: at(2)}, nil}}, unseen, nil},
		"password changed":                            {[]recorded{{"s-1", began(1), nil}, {"ada", &userv1.PasswordChanged{ChangedAt: at(2)}, nil}}, counts, roles},
		"password changed in another session, which stays": {[]recorded{{"s-1", began(1), nil}, {"ada", &userv1.PasswordChanged{ChangedAt: at(2), EndOtherSessions: true,
			Origin: &typev1.Origin{Session: "s-2"}}, nil}}, revoked, nil},
		"password changed in this session": {[]recorded{{"s-1", began(1), nil}, {"ada", &userv1.PasswordChanged{ChangedAt: at(2), EndOtherSessions: true,
			Origin: &typev1.Origin{Session: "s-1"}}, nil}}, counts, roles},
		"authenticated again after the password was reset": {[]recorded{{"s-1", began(1), nil}, {"ada", &userv1.PasswordReset{ResetAt: at(2)}, nil},
			{"s-1", &sessionv1.SessionReauthenticated{AuthenticatedAt: at(3)}, nil}}, counts, roles},
		"an event of the user that cannot be read":    {[]recorded{{"ada", nil, event.ErrUndecodable}}, revoked, nil},
		"an event of the session that cannot be read": {[]recorded{{"s-1", began(1), nil}, {"s-1", nil, event.ErrUndecodable}}, revoked, nil},
	} {
		k := newKnown()
		for i, e := range tc.events {
			aggregate := sessionType
			if e.stream == "ada" {
				aggregate = userType
			}
			var body any = e.body
			if e.err != nil {
				body = nil
			}
			k.apply(&event.Envelope{Aggregate: aggregate, Stream: event.StreamID(e.stream), RecordedTime: epoch.Add(time.Duration(i) * time.Hour)}, body, e.err)
		}
		left, v := k.now("ada", "s-1", roles)
		if v != tc.want || v == counts && !slices.Equal(left, tc.left) {
			t.Errorf("%s: %v with %v, want %v with %v", name, v, left, tc.want, tc.left)
		}
		if left, v := k.now("bea", "s-9", roles); v != counts || !slices.Equal(left, roles) {
			t.Errorf("%s: somebody else: %v with %v", name, v, left)
		}
		k.forget(epoch.Add(100 * time.Hour))
		if len(k.users)+len(k.sessions) > 0 {
			t.Errorf("%s: it is not forgotten", name)
		}
	}
	if !slices.Equal(roles, []string{"clerk", "customer"}) {
		t.Error("the roles that were asked with are changed")
	}
}
