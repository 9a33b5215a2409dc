package schemas_test

import (
	"bytes"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	emailclaimv1 "github.com/cqrsflow/cqrsflow/schemas/emailclaim/v1"
	sessionv1 "github.com/cqrsflow/cqrsflow/schemas/session/v1"
	sourcev1 "github.com/cqrsflow/cqrsflow/schemas/source/v1"
	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
)

// hash is 32 bytes that tell where they belong.
func hash(c byte) []byte { return bytes.Repeat([]byte{c}, 32) }

func hours(n int) *durationpb.Duration { return durationpb.New(time.Duration(n) * time.Hour) }

// identitySamples are samples of what users, sessions, claims and sources say.
func identitySamples() []proto.Message {
	origin := &typev1.Origin{Source: hash('s'), Device: hash('d'), DeviceLabel: []byte("label"), Session: "session-1"}
	authentication := &typev1.Authentication{Session: "session-1", AuthenticatedAt: minutes(1), Methods: []string{"password", "totp"}}
	rotation := &sessionv1.Rotation{Presented: hash('p'), Successor: hash('n'), SuccessorCiphertext: []byte("sealed")}
	claim := "hmac-of-ann"
	open := &userv1.OpenAttempt{Attempt: "attempt-1", Factor: "totp", ExpiresAt: minutes(2)}
	guard := &userv1.Guard{Failures: 5, Open: []*userv1.OpenAttempt{open}, CountedAt: minutes(1), RetryAt: minutes(2)}
	pending := &userv1.PendingToken{Token: hash('t'), ExpiresAt: minutes(60), SentAt: minutes(1)}
	second := &userv1.Totp{Seed: []byte("seed"), Active: true, LastStep: 28_577_520, ExpiresAt: minutes(15)}
	device := &userv1.Device{Device: hash('d'), Label: []byte("label"), RememberedAt: minutes(3)}
	unknown := &userv1.Unknown{Subject: "hmac-of-nobody", Password: guard}
	openAtSource := &sourcev1.OpenAttempt{Attempt: "attempt-1", ExpiresAt: minutes(2)}
	codes := [][]byte{hash('1'), hash('2')}
	return []proto.Message{
		origin, authentication,

		&emailclaimv1.ClaimEmail{User: "user-1", ValidFor: hours(24)},
		&emailclaimv1.ConfirmClaim{User: "user-1"},
		&emailclaimv1.ReleaseClaim{User: "user-1"},
		&emailclaimv1.EmailClaimed{User: "user-1", LapsedUser: "user-0", ClaimedAt: minutes(1), LapsesAt: minutes(60)},
		&emailclaimv1.ClaimConfirmed{User: "user-1", ConfirmedAt: minutes(2)},
		&emailclaimv1.ClaimReleased{User: "user-1", ReleasedAt: minutes(3)},
		&emailclaimv1.EmailClaimState{
			Status: emailclaimv1.ClaimStatus_CLAIM_STATUS_CONFIRMED, User: "user-1", ClaimedAt: minutes(1), LapsesAt: minutes(60), ConfirmedAt: minutes(2),
		},

		openAtSource,
		&sourcev1.BeginAttempt{Attempt: "attempt-1"},
		&sourcev1.CompleteAttempt{Attempt: "attempt-1", Result: "failed"},
		&sourcev1.AttemptBegun{Attempt: "attempt-1", BegunAt: minutes(1), ExpiresAt: minutes(2)},
		&sourcev1.AttemptFailed{Attempt: "attempt-1", FailedAt: minutes(1)},
		&sourcev1.AttemptSucceeded{Attempt: "attempt-1", SucceededAt: minutes(1)},
		&sourcev1.AttemptWithdrawn{Attempt: "attempt-1", WithdrawnAt: minutes(2)},
		&sourcev1.AttemptExpired{Attempt: "attempt-1", NoticedAt: minutes(3)},
		&sourcev1.FailuresForgotten{Failures: 7, ForgottenAt: minutes(1500)},
		&sourcev1.SourceState{Failures: 20, Open: []*sourcev1.OpenAttempt{openAtSource}, CountedAt: minutes(1), RetryAt: minutes(2)},

		rotation,
		&sessionv1.StartSession{
			User: "user-1", Methods: []string{"password"}, AuthenticatedAt: minutes(1), Token: hash('p'), Lifetime: hours(24), Idle: hours(1), Origin: origin,
		},
		&sessionv1.RefreshSession{Rotation: rotation, Origin: origin},
		&sessionv1.ReauthenticateSession{Rotation: rotation, Methods: []string{"password", "recovery_code"}, AuthenticatedAt: minutes(1), Origin: origin},
		&sessionv1.CheckSession{},
		&sessionv1.RevokeSession{Reason: "logout", User: "user-1", Origin: origin},
		&sessionv1.SessionStarted{
			User: "user-1", Methods: []string{"password"}, AuthenticatedAt: minutes(1), Token: hash('p'), ExpiresAt: minutes(1440), Idle: hours(1), Origin: origin,
			StartedAt: minutes(2),
		},
		&sessionv1.SessionRefreshed{Rotation: rotation, Origin: origin, RefreshedAt: minutes(3)},
		&sessionv1.SessionReauthenticated{Rotation: rotation, Methods: []string{"password"}, AuthenticatedAt: minutes(3), Origin: origin, ReauthenticatedAt: minutes(4)},
		&sessionv1.SessionRevoked{Reason: "reuse", User: "user-1", Origin: origin, RevokedAt: minutes(5)},
		&sessionv1.SessionState{
			Status: sessionv1.SessionStatus_SESSION_STATUS_REVOKED, User: "user-1", Methods: []string{"password"}, AuthenticatedAt: minutes(1), Origin: origin,
			StartedAt: minutes(2), RefreshedAt: minutes(3), ExpiresAt: minutes(1440), IdleExpiresAt: minutes(63), Idle: hours(1), Token: hash('n'), Presented: hash('p'),
			TokenCiphertext: []byte("sealed"), RotatedAt: minutes(3), Older: []uint64{1, 1 << 63}, Reason: "logout", RevokedAt: minutes(5),
		},

		open, guard, pending, second, device, unknown,
		&userv1.RegisterUser{
			EmailClaim: claim, Email: []byte("email"), Name: []byte("name"), Credential: []byte("argon2id"), Roles: []string{"customer"}, Confirmation: hash('c'),
			ConfirmationValidFor: hours(24), Origin: origin,
		},
		&userv1.ResendConfirmation{Confirmation: hash('c'), ValidFor: hours(24), Origin: origin},
		&userv1.ConfirmEmail{Confirmation: hash('c'), Origin: origin},
		&userv1.BeginAttempt{Attempt: "attempt-1", Factor: "password", Subject: claim, Origin: origin},
		&userv1.CompleteAttempt{
			Attempt: "attempt-1", Factor: "totp", Subject: claim, CredentialVersion: 1, Result: "succeeded", TotpStep: 28_577_520, RecoveryCode: hash('1'), Origin: origin,
		},
		&userv1.RehashPassword{Credential: []byte("argon2id"), CredentialVersion: 1},
		&userv1.ChangePassword{Attempt: "attempt-1", CredentialVersion: 1, Credential: []byte("argon2id"), EndOtherSessions: true, Origin: origin},
		&userv1.RequestPasswordReset{Token: hash('t'), ValidFor: hours(1), Origin: origin},
		&userv1.ResetPassword{Token: hash('t'), Credential: []byte("argon2id"), Origin: origin},
		&userv1.BeginTotpEnrolment{Seed: []byte("seed"), Authentication: authentication, Origin: origin},
		&userv1.ActivateTotp{SecondFactorVersion: 1, TotpStep: 28_577_520, RecoveryCodes: codes, Authentication: authentication, Origin: origin},
		&userv1.RemoveTotp{Authentication: authentication, Origin: origin},
		&userv1.ReplaceRecoveryCodes{RecoveryCodes: codes, Authentication: authentication, Origin: origin},
		&userv1.RememberDevice{Device: hash('d'), Label: []byte("label")},
		&userv1.ForgetDevice{Device: hash('d')},
		&userv1.SetRoles{Roles: []string{"clerk", "customer"}},
		&userv1.LockUser{Reason: "reported_stolen"},
		&userv1.UnlockUser{},
		&userv1.DisableUser{Reason: "left_company"},
		&userv1.ForgetUser{},

		&userv1.UserRegistered{
			EmailClaim: claim, Email: []byte("email"), Name: []byte("name"), Credential: []byte("argon2id"), Roles: []string{"customer"}, Confirmation: hash('c'),
			ConfirmationExpiresAt: minutes(1440), Origin: origin, RegisteredAt: minutes(1),
		},
		&userv1.ConfirmationResent{Confirmation: hash('c'), ExpiresAt: minutes(1440), Origin: origin, ResentAt: minutes(2)},
		&userv1.EmailConfirmed{Origin: origin, ConfirmedAt: minutes(3)},
		&userv1.AttemptBegun{Attempt: "attempt-1", Factor: "password", Subject: claim, KnownDevice: true, Origin: origin, BegunAt: minutes(1), ExpiresAt: minutes(2)},
		&userv1.AttemptFailed{Attempt: "attempt-1", Factor: "password", Subject: claim, Origin: origin, FailedAt: minutes(1)},
		&userv1.AttemptSucceeded{Attempt: "attempt-1", Factor: "totp", TotpStep: 28_577_520, RecoveryCode: hash('1'), Origin: origin, SucceededAt: minutes(1)},
		&userv1.AttemptWithdrawn{Attempt: "attempt-1", Factor: "password", Subject: claim, WithdrawnAt: minutes(2)},
		&userv1.CheckUser{},
		&userv1.AttemptExpired{Attempt: "attempt-1", Factor: "password", Subject: claim, NoticedAt: minutes(3)},
		&userv1.PasswordRehashed{Credential: []byte("argon2id"), RehashedAt: minutes(4)},
		&userv1.PasswordChanged{Credential: []byte("argon2id"), CredentialVersion: 2, EndOtherSessions: true, Origin: origin, ChangedAt: minutes(5)},
		&userv1.PasswordResetRequested{Token: hash('t'), ExpiresAt: minutes(60), Origin: origin, RequestedAt: minutes(6)},
		&userv1.PasswordReset{Credential: []byte("argon2id"), CredentialVersion: 3, Origin: origin, ResetAt: minutes(7)},
		&userv1.TotpEnrolmentBegun{Seed: []byte("seed"), SecondFactorVersion: 1, ExpiresAt: minutes(23), Origin: origin, BegunAt: minutes(8)},
		&userv1.TotpActivated{TotpStep: 28_577_520, RecoveryCodes: codes, Origin: origin, ActivatedAt: minutes(9)},
		&userv1.TotpRemoved{SecondFactorVersion: 2, Origin: origin, RemovedAt: minutes(10)},
		&userv1.RecoveryCodesReplaced{RecoveryCodes: codes, Origin: origin, ReplacedAt: minutes(10)},
		&userv1.DeviceRemembered{Device: hash('d'), Label: []byte("label"), RememberedAt: minutes(3)},
		&userv1.DeviceForgotten{Device: hash('d'), ForgottenAt: minutes(11)},
		&userv1.RolesSet{Roles: []string{"clerk", "customer"}, SetAt: minutes(12)},
		&userv1.UserLocked{Reason: "reported_stolen", LockedAt: minutes(13)},
		&userv1.UserUnlocked{UnlockedAt: minutes(14)},
		&userv1.UserDisabled{Reason: "left_company", DisabledAt: minutes(15)},
		&userv1.UserErased{EmailClaim: claim, ErasedAt: minutes(16)},
		&userv1.UserState{
			Status: userv1.UserStatus_USER_STATUS_LOCKED, Reason: "reported_stolen", Since: minutes(13), EmailClaim: claim, Email: []byte("email"), Name: []byte("name"),
			Roles: []string{"admin"}, MfaRequired: true, RegisteredAt: minutes(1), ConfirmedAt: minutes(3), Confirmation: pending, Credential: []byte("argon2id"),
			CredentialVersion: 3, PasswordChangedAt: minutes(7), PasswordReset: pending, Password: guard, Totp: second, SecondFactorVersion: 1, RecoveryCodes: codes,
			SecondFactor: guard, Devices: []*userv1.Device{device}, Unknown: []*userv1.Unknown{unknown},
			SessionsEndedAt: minutes(7), SessionKept: "session-1",
		},
	}
}
