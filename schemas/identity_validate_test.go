package schemas_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/schemas"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	"github.com/cqrsflow/cqrsflow/schemas/emailclaim"
	emailclaimv1 "github.com/cqrsflow/cqrsflow/schemas/emailclaim/v1"
	"github.com/cqrsflow/cqrsflow/schemas/session"
	sessionv1 "github.com/cqrsflow/cqrsflow/schemas/session/v1"
	"github.com/cqrsflow/cqrsflow/schemas/source"
	sourcev1 "github.com/cqrsflow/cqrsflow/schemas/source/v1"
	"github.com/cqrsflow/cqrsflow/schemas/user"
	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
)

// sampleOf is the sample of M with the change made to it: a valid command, but for CompleteAttempt, whose sample proves
// two things at once.
func sampleOf[M proto.Message](change func(M)) proto.Message {
	for _, m := range append(identitySamples(), experimentSamples()...) {
		if c, ok := m.(*userv1.CompleteAttempt); ok {
			c.RecoveryCode = nil
		}
		if m, ok := m.(M); ok {
			m := proto.CloneOf(m)
			change(m)
			return m
		}
	}
	panic("there is no such sample")
}

func TestValidateIdentity(t *testing.T) {
	const (
		streamID  = "must be 1 to 128 of the characters A-Z a-z 0-9 . _ : -"
		attemptID = "must be 1 to 64 of the characters A-Z a-z 0-9 . _ : -"
		proof     = "a totp attempt that succeeded needs totp_step, a recovery_code attempt recovery_code; no other has either"
		word      = "must be a word such as reported_stolen: 1 to 64 of the characters a-z 0-9 _"
		hashed    = "must be 32 bytes"
		factors   = "must be in list [password, totp, recovery_code]"
	)
	second := durationpb.New(time.Second)
	tests := []struct {
		name    string
		message proto.Message
		want    []event.FieldError
	}{
		{"claim for nobody", sampleOf(func(m *emailclaimv1.ClaimEmail) { m.User = "" }), at("user", streamID)},
		{"claim for 7 days", sampleOf(func(m *emailclaimv1.ClaimEmail) { m.ValidFor = hours(7 * 24) }), nil},
		{"claim for more", sampleOf(func(m *emailclaimv1.ClaimEmail) { m.ValidFor = hours(7*24 + 1) }), at("validFor", "must be greater than 0s and at most 604800s")},
		{"claim for no time", sampleOf(func(m *emailclaimv1.ClaimEmail) { m.ValidFor = nil }), at("validFor", "is required")},
		{"confirm for nobody", &emailclaimv1.ConfirmClaim{}, at("user", streamID)},
		{"release for nobody", &emailclaimv1.ReleaseClaim{}, at("user", streamID)},

		{"attempt without ID", &sourcev1.BeginAttempt{}, at("attempt", attemptID)},
		{"attempt with a long ID", &sourcev1.BeginAttempt{Attempt: strings.Repeat("a", 65)}, at("attempt", attemptID)},
		{"attempt that went well", sampleOf(func(m *sourcev1.CompleteAttempt) { m.Result = "well" }), at("result", "must be in list [failed, succeeded, withdrawn]")},

		{"session of 24 hours", sampleOf(func(m *sessionv1.StartSession) { m.Lifetime, m.Origin = hours(24), nil }), nil},
		{"session of a second more", sampleOf(func(m *sessionv1.StartSession) { m.Lifetime.Seconds++ }), at("lifetime", "must be greater than 0s and at most 86400s")},
		{"session of no time", sampleOf(func(m *sessionv1.StartSession) { m.Lifetime = &durationpb.Duration{} }), at("lifetime", "must be greater than 0s and at most 86400s")},
		{"idle for a second more than an hour", sampleOf(func(m *sessionv1.StartSession) { m.Idle.Seconds++ }), at("idle", "must be greater than 0s and at most 3600s")},
		{"session of nobody, without methods or token", sampleOf(func(m *sessionv1.StartSession) { m.User, m.Methods, m.Token, m.AuthenticatedAt = "", nil, nil, nil }),
			at("user", streamID, "methods", "must not be empty", "authenticatedAt", "is required", "token", hashed)},
		{"session by a wink", sampleOf(func(m *sessionv1.StartSession) { m.Methods = []string{"wink"} }), at("methods[0]", factors)},
		{"session by a password twice", sampleOf(func(m *sessionv1.StartSession) { m.Methods = []string{"password", "password"} }), at("methods", "repeated value must contain unique items")},
		{"a token in clear", sampleOf(func(m *sessionv1.RefreshSession) { m.Rotation.Presented = []byte("secret") }), at("rotation.presented", hashed)},
		{"no successor", sampleOf(func(m *sessionv1.RefreshSession) { m.Rotation.Successor, m.Rotation.SuccessorCiphertext = nil, nil }),
			at("rotation.successor", hashed, "rotation.successorCiphertext", "must be at least 1 bytes")},
		{"no rotation", &sessionv1.RefreshSession{}, at("rotation", "is required")},
		{"authentication at no time", sampleOf(func(m *sessionv1.ReauthenticateSession) { m.AuthenticatedAt = nil }), at("authenticatedAt", "is required")},
		{"revoked for reuse, which is not asked for", sampleOf(func(m *sessionv1.RevokeSession) { m.Reason = "reuse" }),
			at("reason", "must be in list [logout, ended_by_user, ended_by_administrator, password_changed, locked, disabled, erased]")},
		{"revoked for anybody", sampleOf(func(m *sessionv1.RevokeSession) { m.User, m.Origin = "", nil }), nil},
		{"revoked for a bad user", sampleOf(func(m *sessionv1.RevokeSession) { m.User = "a b" }), at("user", "must be at most 128 of the characters A-Z a-z 0-9 . _ : -")},

		{"an address in clear", sampleOf(func(m *userv1.BeginAttempt) { m.Origin.Source = []byte("192.0.2.1") }), at("origin.source", hashed)},
		{"a device's token in clear", sampleOf(func(m *userv1.BeginAttempt) { m.Origin.Device = []byte("token") }), at("origin.device", hashed)},
		{"an origin of which nothing is known", sampleOf(func(m *userv1.BeginAttempt) { m.Origin = &typev1.Origin{} }), nil},
		{"a long label", sampleOf(func(m *userv1.BeginAttempt) { m.Origin.DeviceLabel = make([]byte, 1025) }), at("origin.deviceLabel", "must be at most 1024 bytes")},
		{"a bad session", sampleOf(func(m *userv1.BeginAttempt) { m.Origin.Session = "a/b" }), at("origin.session", "must be at most 128 of the characters A-Z a-z 0-9 . _ : -")},
		{"an attempt of no kind", &userv1.BeginAttempt{}, at("attempt", attemptID, "factor", factors, "subject", streamID)},
		{"a registration of nothing", &userv1.RegisterUser{}, at("emailClaim", streamID, "email", "must be at least 1 bytes", "name", "must be at least 1 bytes",
			"credential", "must be at least 1 bytes", "confirmation", hashed, "confirmationValidFor", "is required")},
		{"a role twice", sampleOf(func(m *userv1.SetRoles) { m.Roles = []string{"clerk", "clerk"} }), at("roles", "repeated value must contain unique items")},
		{"no role", &userv1.SetRoles{}, nil},
		{"a mail about nothing", &userv1.ResendConfirmation{}, at("confirmation", hashed, "validFor", "is required")},
		{"a token of no length", &userv1.ConfirmEmail{}, at("confirmation", hashed)},
		{"totp that succeeded without a step", sampleOf(func(m *userv1.CompleteAttempt) { m.TotpStep = 0 }), at("", proof)},
		{"totp that failed with a step", sampleOf(func(m *userv1.CompleteAttempt) { m.Result = "failed" }), at("", proof)},
		{"a password with a step", sampleOf(func(m *userv1.CompleteAttempt) { m.Factor = "password" }), at("", proof)},
		{"a recovery code that is none", sampleOf(func(m *userv1.CompleteAttempt) { m.Factor, m.TotpStep = "recovery_code", 0 }), at("", proof)},
		{"a recovery code", sampleOf(func(m *userv1.CompleteAttempt) { m.Factor, m.TotpStep, m.RecoveryCode = "recovery_code", 0, hash('1') }), nil},
		{"a password", sampleOf(func(m *userv1.CompleteAttempt) { m.Factor, m.TotpStep = "password", 0 }), nil},
		{"a version below nothing", sampleOf(func(m *userv1.CompleteAttempt) { m.CredentialVersion = -1 }), at("credentialVersion", "must be at least 0")},
		{"the same of no version", &userv1.RehashPassword{Credential: []byte("x")}, at("credentialVersion", "must be greater than 0")},
		{"a change to a large password", sampleOf(func(m *userv1.ChangePassword) { m.Credential = make([]byte, 4097) }), at("credential", "must be at most 4096 bytes")},
		{"a reset that holds for more than an hour", sampleOf(func(m *userv1.RequestPasswordReset) { m.ValidFor.Nanos = 1 }), at("validFor", "must be greater than 0s and at most 3600s")},
		{"a reset with nothing", &userv1.ResetPassword{}, at("token", hashed, "credential", "must be at least 1 bytes")},
		{"an enrolment of no seed by nobody", &userv1.BeginTotpEnrolment{}, at("seed", "must be at least 1 bytes", "authentication", "is required")},
		{"an activation without recovery codes", sampleOf(func(m *userv1.ActivateTotp) { m.RecoveryCodes = nil }), at("recoveryCodes", "must not be empty")},
		{"an activation with too many", sampleOf(func(m *userv1.ActivateTotp) {
			m.RecoveryCodes = nil
			for i := range 21 {
				m.RecoveryCodes = append(m.RecoveryCodes, bytes.Repeat([]byte{byte(i)}, 32))
			}
		}), at("recoveryCodes", "must have at most 20 items")},
		{"recovery codes in clear", sampleOf(func(m *userv1.ReplaceRecoveryCodes) { m.RecoveryCodes = [][]byte{[]byte("code")} }), at("recoveryCodes[0]", hashed)},
		{"a removal by nobody", &userv1.RemoveTotp{}, at("authentication", "is required")},
		{"a removal by a session that is none", sampleOf(func(m *userv1.RemoveTotp) { m.Authentication = &typev1.Authentication{} }),
			at("authentication.session", streamID, "authentication.authenticatedAt", "is required", "authentication.methods", "must not be empty")},
		{"no device", &userv1.RememberDevice{}, at("device", hashed)},
		{"no device to forget", &userv1.ForgetDevice{}, at("device", hashed)},
		{"a lock with a sentence", &userv1.LockUser{Reason: "Ann called."}, at("reason", word)},
		{"a lock without a reason", &userv1.LockUser{}, at("reason", word)},
		{"an end without a reason", &userv1.DisableUser{}, at("reason", word)},
		{"reset for a second", &userv1.RequestPasswordReset{Token: hash('t'), ValidFor: second}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, schemas.Validate(tt.message)); diff != "" {
				t.Errorf("Validate (-want +got):\n%s", diff)
			}
		})
	}
}

// The samples of commands are valid, so that what the tests above change is all that is wrong with them.
func TestSamplesOfIdentityAreValid(t *testing.T) {
	commands := slices.Concat(emailclaim.Commands.Types(), source.Commands.Types(), session.Commands.Types(), user.Commands.Types())
	seen := 0
	for _, m := range identitySamples() {
		if name := string(m.ProtoReflect().Descriptor().FullName()); !slices.Contains(commands, name) {
			continue
		}
		seen++
		if c, ok := m.(*userv1.CompleteAttempt); ok {
			c.RecoveryCode = nil
		}
		if errs := schemas.Validate(m); errs != nil {
			t.Errorf("%s: %v", m.ProtoReflect().Descriptor().FullName(), errs)
		}
	}
	if seen != len(commands) {
		t.Errorf("%d samples of %d commands", seen, len(commands))
	}
}

// What a command or an event of identity says in text is an ID or a word of a list: there is no field for a person's own
// words but as bytes, which a service encrypts.
func TestIdentityHasNoTextInClear(t *testing.T) {
	words := []string{"user", "lapsed_user", "email_claim", "attempt", "factor", "subject", "result", "reason", "roles", "methods", "session", "session_kept"}
	for _, m := range identitySamples() {
		d := m.ProtoReflect().Descriptor()
		for i := range d.Fields().Len() {
			if f := d.Fields().Get(i); f.Kind() == protoreflect.StringKind && !slices.Contains(words, string(f.Name())) {
				t.Errorf("%s is text", f.FullName())
			}
		}
	}
}
