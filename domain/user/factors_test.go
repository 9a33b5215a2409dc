package user_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/domain/user"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
)

func TestEnrolTotp(t *testing.T) {
	activate := func(version, step int64) *userv1.ActivateTotp {
		return &userv1.ActivateTotp{SecondFactorVersion: version, TotpStep: step, RecoveryCodes: codes, Authentication: by(4, "password"), Origin: laptop}
	}
	enrolled := given(t, confirmed).
		When(cmd(5, &userv1.BeginTotpEnrolment{Seed: []byte("seed"), Authentication: by(4, "password"), Origin: laptop})).Then(protected[2])
	// A seed that was shown is not the second factor before a code of it was given.
	enrolled.When(cmd(6, begin("a", "totp"))).ThenRejected(user.CodeTotpNotActive)
	enrolled.When(cmd(10, activate(2, step(10)))).ThenRejected(user.CodeCredentialChanged)
	enrolled.When(cmd(10, activate(1, step(10)))).Then(protected[3]).
		ThenState(&userv1.UserState{Status: userv1.UserStatus_USER_STATUS_ACTIVE, Since: at(2), EmailClaim: claim, Email: []byte("email"), Name: []byte("name"),
			Roles: []string{"clerk", "customer"}, RegisteredAt: at(1), ConfirmedAt: at(2), Credential: []byte("first"), CredentialVersion: 1,
			Totp: &userv1.Totp{Seed: []byte("seed"), Active: true, LastStep: step(10)}, SecondFactorVersion: 1, RecoveryCodes: codes})
	late := activate(1, step(905))
	late.Authentication = by(900, "password")
	enrolled.When(cmd(905, late)).ThenRejected(user.CodeTotpEnrolmentExpired)
	enrolled.When(cmd(904, late)).Then(&userv1.TotpActivated{TotpStep: step(905), RecoveryCodes: codes, Origin: laptop, ActivatedAt: at(904)})
	// Another enrolment replaces the first: a code that was verified against that one activates nothing.
	enrolled.When(cmd(7, &userv1.BeginTotpEnrolment{Seed: []byte("other"), Authentication: by(4, "password")})).
		Then(&userv1.TotpEnrolmentBegun{Seed: []byte("other"), SecondFactorVersion: 2, ExpiresAt: at(907), BegunAt: at(7)}).
		When(cmd(10, activate(1, step(10)))).ThenRejected(user.CodeCredentialChanged)
	again := by(11, "password", "totp")
	given(t, protected).When(cmd(12, &userv1.BeginTotpEnrolment{Seed: []byte("other"), Authentication: again})).ThenRejected(user.CodeTotpAlreadyActive)
	given(t, protected).When(cmd(12, &userv1.ActivateTotp{SecondFactorVersion: 1, TotpStep: step(42), Authentication: again})).ThenRejected(user.CodeTotpAlreadyActive)
}

// A code is good once: its time step and all before it are used up by it, for parallel attempts too, and by the activation.
func TestASVS_6_5_1_TOTPOnce(t *testing.T) {
	open := given(t, protected, begun(100, "a", "totp"), begun(100, "b", "totp"))
	for n, code := range map[int64]string{
		step(10): user.CodeTotpCodeUsed, step(10) - 1: user.CodeTotpCodeUsed,
		step(100) + user.TotpTolerance + 1: user.CodeTotpCodeNotCurrent,
	} {
		open.When(cmd(101, withStep(complete("a", "totp", "succeeded", 1), n))).ThenRejected(code)
	}
	used := open.When(cmd(101, withStep(complete("a", "totp", "succeeded", 1), step(101)))).
		Then(&userv1.AttemptSucceeded{Attempt: "a", Factor: "totp", TotpStep: step(101), Origin: laptop, SucceededAt: at(101)})
	used.When(cmd(102, withStep(complete("b", "totp", "succeeded", 1), step(101)))).ThenRejected(user.CodeTotpCodeUsed)
	used.When(cmd(102, withStep(complete("b", "totp", "succeeded", 1), step(101)-1))).ThenRejected(user.CodeTotpCodeUsed)
	used.When(cmd(102, withStep(complete("b", "totp", "succeeded", 1), step(101)+1))).
		Then(&userv1.AttemptSucceeded{Attempt: "b", Factor: "totp", TotpStep: step(101) + 1, Origin: laptop, SucceededAt: at(102)})
	given(t, protected, begun(1000, "a", "totp")).When(cmd(1001, withStep(complete("a", "totp", "succeeded", 1), step(1001)-user.TotpTolerance-1))).ThenRejected(user.CodeTotpCodeNotCurrent)
	// Removing the factor and enrolling the next one begins at the code that activates it.
	given(t, protected).When(cmd(12, &userv1.RemoveTotp{Authentication: by(11, "password", "recovery_code"), Origin: laptop})).
		Then(&userv1.TotpRemoved{SecondFactorVersion: 2, Origin: laptop, RemovedAt: at(12)}).ThenState(func() *userv1.UserState {
		s := user.Decider.Fold(confirmed...)
		s.SecondFactorVersion = 2
		return s
	}())
}

// A recovery code is good once, and not after it was replaced.
func TestASVS_6_5_1_RecoveryCodeOnce(t *testing.T) {
	open := given(t, protected, begun(20, "a", "recovery_code"), begun(20, "b", "recovery_code"))
	used := open.When(cmd(21, withCode(complete("a", "recovery_code", "succeeded", 1), codes[1]))).
		Then(&userv1.AttemptSucceeded{Attempt: "a", Factor: "recovery_code", RecoveryCode: codes[1], Origin: laptop, SucceededAt: at(21)})
	used.When(cmd(22, withCode(complete("b", "recovery_code", "succeeded", 1), codes[1]))).ThenRejected(user.CodeRecoveryCodeInvalid)
	used.When(cmd(22, withCode(complete("b", "recovery_code", "succeeded", 1), hash('x')))).ThenRejected(user.CodeRecoveryCodeInvalid)
	replaced := used.When(cmd(23, &userv1.ReplaceRecoveryCodes{RecoveryCodes: [][]byte{hash('9')}, Authentication: by(21, "password", "recovery_code"), Origin: laptop})).
		Then(&userv1.RecoveryCodesReplaced{RecoveryCodes: [][]byte{hash('9')}, Origin: laptop, ReplacedAt: at(23)})
	replaced.When(cmd(24, withCode(complete("b", "recovery_code", "succeeded", 1), codes[0]))).ThenRejected(user.CodeRecoveryCodeInvalid)
	replaced.When(cmd(24, withCode(complete("b", "recovery_code", "succeeded", 1), hash('9')))).
		Then(&userv1.AttemptSucceeded{Attempt: "b", Factor: "recovery_code", RecoveryCode: hash('9'), Origin: laptop, SucceededAt: at(24)})
}

// Changes of factors take an authentication of the last five minutes, with every factor that the user has.
func TestASVS_7_5_1_FactorChangesNeedFullAuthentication(t *testing.T) {
	for name, change := range map[string]func(*typev1.Authentication) proto.Message{
		"begin": func(a *typev1.Authentication) proto.Message {
			return &userv1.BeginTotpEnrolment{Seed: []byte("s"), Authentication: a}
		},
		"activate": func(a *typev1.Authentication) proto.Message {
			return &userv1.ActivateTotp{SecondFactorVersion: 1, TotpStep: 1, Authentication: a}
		},
		"remove": func(a *typev1.Authentication) proto.Message { return &userv1.RemoveTotp{Authentication: a} },
		"replace": func(a *typev1.Authentication) proto.Message {
			return &userv1.ReplaceRecoveryCodes{RecoveryCodes: codes, Authentication: a}
		},
	} {
		for _, tc := range []struct {
			name   string
			events []proto.Message
			a      *typev1.Authentication
			ok     bool
		}{
			{"without the second factor", protected, by(999, "password"), false},
			{"without the password", protected, by(999, "totp", "recovery_code"), false},
			{"too old", protected, by(699, "password", "totp"), false},
			{"to come", protected, by(1061, "password", "totp"), false},
			{"none", protected, nil, false},
			{"before the password was replaced", append(protected[:4:4], &userv1.PasswordReset{Credential: []byte("n"), CredentialVersion: 2, ResetAt: at(950)}), by(949, "password", "totp"), false},
			{"none of the factors", confirmed, by(999, "recovery_code"), false},
			{"just recent enough", protected, by(700, "password", "totp"), true},
			{"with a recovery code", protected, by(999, "password", "recovery_code"), true},
			{"by a clock ahead of ours", protected, by(1060, "password", "totp"), true},
			{"after the password was replaced", append(protected[:4:4], &userv1.PasswordReset{Credential: []byte("n"), CredentialVersion: 2, ResetAt: at(950)}), by(950, "password", "totp"), true},
			{"all that there are", confirmed, by(999, "password"), true},
		} {
			t.Run(name+"/"+tc.name, func(t *testing.T) {
				l := live(t, 1000, tc.events)
				if code := l.do(change(tc.a)); (code != user.CodeReauthenticationRequired) != tc.ok {
					t.Errorf("%q", code)
				}
			})
		}
	}
}

// Who has a role that demands the second factor keeps it; the state says what the service has to ask for.
func TestASVS_6_3_3_RoleDemandsMFA(t *testing.T) {
	auditor := given(t, protected).When(cmd(20, &userv1.SetRoles{Roles: []string{"customer", "auditor"}})).Then(&userv1.RolesSet{Roles: []string{"auditor", "customer"}, SetAt: at(20)})
	if !auditor.State().GetMfaRequired() {
		t.Error("an auditor needs no second factor")
	}
	remove := cmd(22, &userv1.RemoveTotp{Authentication: by(21, "password", "totp"), Origin: laptop})
	auditor.When(remove).ThenRejected(user.CodeMFARequired)
	customer := auditor.When(cmd(21, &userv1.SetRoles{Roles: []string{"customer"}})).Then(&userv1.RolesSet{Roles: []string{"customer"}, SetAt: at(21)})
	if customer.State().GetMfaRequired() {
		t.Error("a customer needs a second factor")
	}
	customer.When(remove).Then(&userv1.TotpRemoved{SecondFactorVersion: 2, Origin: laptop, RemovedAt: at(22)})
	first := proto.CloneOf(register)
	first.Roles = []string{"admin"}
	l := live(t, 1, nil)
	l.must(first)
	if !l.s.GetMfaRequired() {
		t.Error("an administrator needs no second factor")
	}
}
