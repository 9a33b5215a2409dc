package user

import (
	"bytes"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
)

// Evolve returns the state after an event, sharing nothing that could change with the one before.
// Anything but an event of user.v1 leaves the state as it is, which does not happen: the codec knows no
// other events, and a test holds that each is handled.
func Evolve(s *userv1.UserState, e proto.Message) *userv1.UserState {
	next := proto.CloneOf(s)
	evolve(next, proto.CloneOf(e))
	return next
}

// evolve changes a state that is its own, with an event that is its own; it reports whether it knows the event.
func evolve(s *userv1.UserState, e proto.Message) bool {
	switch e := e.(type) {
	case *userv1.UserRegistered:
		become(s, registered, "", e.GetRegisteredAt())
		s.EmailClaim, s.Email, s.Name = e.GetEmailClaim(), e.GetEmail(), e.GetName()
		s.Credential, s.CredentialVersion = e.GetCredential(), 1
		s.Roles, s.MfaRequired = e.GetRoles(), demandMFA(e.GetRoles())
		s.RegisteredAt = e.GetRegisteredAt()
		s.Confirmation = &userv1.PendingToken{Token: e.GetConfirmation(), ExpiresAt: e.GetConfirmationExpiresAt(), SentAt: e.GetRegisteredAt()}
		s.Unknown = nil
	case *userv1.ConfirmationResent:
		s.Confirmation = &userv1.PendingToken{Token: e.GetConfirmation(), ExpiresAt: e.GetExpiresAt(), SentAt: e.GetResentAt()}
	case *userv1.EmailConfirmed:
		become(s, active, "", e.GetConfirmedAt())
		s.ConfirmedAt, s.Confirmation = e.GetConfirmedAt(), nil
	case *userv1.PasswordRehashed:
		s.Credential = e.GetCredential()
	case *userv1.PasswordChanged:
		replacePassword(s, e.GetCredential(), e.GetCredentialVersion(), e.GetChangedAt())
		if e.GetEndOtherSessions() {
			endSessions(s, e.GetChangedAt(), e.GetOrigin().GetSession())
		}
	case *userv1.PasswordResetRequested:
		s.PasswordReset = &userv1.PendingToken{Token: e.GetToken(), ExpiresAt: e.GetExpiresAt(), SentAt: e.GetRequestedAt()}
	case *userv1.PasswordReset:
		replacePassword(s, e.GetCredential(), e.GetCredentialVersion(), e.GetResetAt())
		s.Devices = nil
		endSessions(s, e.GetResetAt(), "")
	case *userv1.TotpEnrolmentBegun:
		s.Totp = &userv1.Totp{Seed: e.GetSeed(), ExpiresAt: e.GetExpiresAt()}
		s.SecondFactorVersion = e.GetSecondFactorVersion()
	case *userv1.TotpActivated:
		s.Totp = &userv1.Totp{Seed: s.GetTotp().GetSeed(), Active: true, LastStep: e.GetTotpStep()}
		s.RecoveryCodes = e.GetRecoveryCodes()
	case *userv1.TotpRemoved:
		s.Totp, s.RecoveryCodes, s.SecondFactor = nil, nil, nil
		s.SecondFactorVersion = e.GetSecondFactorVersion()
	case *userv1.RecoveryCodesReplaced:
		s.RecoveryCodes = e.GetRecoveryCodes()
	case *userv1.DeviceRemembered:
		forgetDevice(s, e.GetDevice())
		s.Devices = append(s.Devices, &userv1.Device{Device: e.GetDevice(), Label: e.GetLabel(), RememberedAt: e.GetRememberedAt()})
		s.Devices = s.Devices[max(0, len(s.Devices)-MaxDevices):]
	case *userv1.DeviceForgotten:
		forgetDevice(s, e.GetDevice())
	case *userv1.RolesSet:
		s.Roles, s.MfaRequired = e.GetRoles(), demandMFA(e.GetRoles())
	case *userv1.UserLocked:
		become(s, locked, e.GetReason(), e.GetLockedAt())
		endSessions(s, e.GetLockedAt(), "")
	case *userv1.UserUnlocked:
		if s.GetStatus() == locked {
			become(s, registered, "", e.GetUnlockedAt())
			if s.ConfirmedAt != nil {
				s.Status = active
			}
		}
		pardon(s.Password)
		pardon(s.SecondFactor)
	case *userv1.UserDisabled:
		become(s, disabled, e.GetReason(), e.GetDisabledAt())
	case *userv1.UserErased:
		proto.Reset(s)
		become(s, erased, "", e.GetErasedAt())
	default:
		return evolveAttempt(s, e)
	}
	return true
}

func become(s *userv1.UserState, status userv1.UserStatus, reason string, since *timestamppb.Timestamp) {
	s.Status, s.Reason, s.Since = status, reason, since
}

// replacePassword ends whatever was about the password before: no verdict on it is taken any more, and a
// token that replaces it is void.
func replacePassword(s *userv1.UserState, credential []byte, version int64, at *timestamppb.Timestamp) {
	s.Credential, s.CredentialVersion, s.PasswordChangedAt = credential, version, at
	s.Password, s.PasswordReset = nil, nil
}

// endSessions ends those that were authenticated until now. The state says so, for whoever asks, because
// what has a list of sessions may lag behind.
func endSessions(s *userv1.UserState, at *timestamppb.Timestamp, but string) {
	s.SessionsEndedAt, s.SessionKept = at, but
}

func forgetDevice(s *userv1.UserState, device []byte) {
	s.Devices = slices.DeleteFunc(s.Devices, func(d *userv1.Device) bool { return bytes.Equal(d.GetDevice(), device) })
}
