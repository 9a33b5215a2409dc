package user

import (
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/domain/throttle"
	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
)

// Name is the aggregate type.
const Name = "user"

// Fingerprint numbers the meaning of Evolve. Raise it whenever Evolve makes another state of the same
// events, which includes the delays and what roles demand: snapshots made before are then discarded.
// TestGoldenFolds fails where that was forgotten.
const Fingerprint = 2

// Bounds of what is decided.
const (
	// MailInterval is the least time between two mails of a kind.
	MailInterval = time.Minute
	// EnrolmentOpen is how long a seed waits for its activation.
	EnrolmentOpen = 15 * time.Minute
	// MaxAuthenticationAge is how old an authentication may be that changes a factor.
	MaxAuthenticationAge = 5 * time.Minute
	// ClockSkew is how far another partition's clock may be ahead.
	ClockSkew = time.Minute
	// TotpPeriod is the length of a time step, TotpTolerance how many steps from the current one a code may be away: the
	// service decides on fewer, but an attempt may take a while.
	TotpPeriod    = 30 * time.Second
	TotpTolerance = 4
	// MaxDevices is the number of devices that a user knows; the longest known one gives way to another.
	MaxDevices = 10
	// MaxUnknown is the number of unknown accounts whose failures one stream remembers; the one tried longest ago gives
	// way to another. It is what keeps the states of these streams from growing.
	MaxUnknown = 64
)

// Attempts is how failures slow an account down, each factor on its own.
var Attempts = throttle.Policy{From: 4, First: time.Second, Longest: 15 * time.Minute, Ceiling: 100}

// Decider is the aggregate. Bodies of commands and events are messages of user.v1; the state of a user
// who does not exist has no status. Decisions take the recorded time for now: a client does not choose it.
var Decider = decider.Decider[decider.Command[proto.Message], proto.Message, *userv1.UserState]{
	Initial: func() *userv1.UserState { return &userv1.UserState{} },
	Decide:  Decide,
	Evolve:  Evolve,
}

// Spec registers the aggregate. No command is public: a service makes the secrets that they carry.
func Spec(codec decider.Codec) decider.Spec[proto.Message, proto.Message, *userv1.UserState] {
	return decider.Spec[proto.Message, proto.Message, *userv1.UserState]{
		Name: Name, Plural: "users", Fingerprint: Fingerprint, Decider: Decider, Codec: codec,
		Commands: []decider.CommandType{
			{Type: "user.v1.RegisterUser", Name: "register", Summary: "Register a user whose e-mail address is to be confirmed."},
			{Type: "user.v1.ResendConfirmation", Name: "resend-confirmation", Summary: "Replace the token that confirms the e-mail address."},
			{Type: "user.v1.ConfirmEmail", Name: "confirm-email", Summary: "Confirm the e-mail address with the token that was sent."},
			{Type: "user.v1.BeginAttempt", Name: "begin-attempt", Summary: "Ask whether somebody may try to authenticate as the user."},
			{Type: "user.v1.CompleteAttempt", Name: "complete-attempt", Summary: "Say how an attempt to authenticate ended."},
			{Type: "user.v1.RehashPassword", Name: "rehash-password", Summary: "Store the same password with other parameters."},
			{Type: "user.v1.ChangePassword", Name: "change-password", Summary: "Replace the password, completing an attempt with the current one."},
			{Type: "user.v1.RequestPasswordReset", Name: "request-password-reset", Summary: "Note a token that replaces the password."},
			{Type: "user.v1.ResetPassword", Name: "reset-password", Summary: "Replace the password with a token, once."},
			{Type: "user.v1.BeginTotpEnrolment", Name: "begin-totp-enrolment", Summary: "Note a seed for a second factor."},
			{Type: "user.v1.ActivateTotp", Name: "activate-totp", Summary: "Make the enrolled seed the second factor."},
			{Type: "user.v1.RemoveTotp", Name: "remove-totp", Summary: "Remove the second factor, its recovery codes included."},
			{Type: "user.v1.ReplaceRecoveryCodes", Name: "replace-recovery-codes", Summary: "Replace the recovery codes."},
			{Type: "user.v1.RememberDevice", Name: "remember-device", Summary: "Make a device known, which is then not delayed."},
			{Type: "user.v1.ForgetDevice", Name: "forget-device", Summary: "Make a device unknown."},
			{Type: "user.v1.SetRoles", Name: "roles", Summary: "Replace the roles of the user."},
			{Type: "user.v1.LockUser", Name: "lock", Summary: "Keep the user out until unlocked."},
			{Type: "user.v1.UnlockUser", Name: "unlock", Summary: "End a lock, and forget failed attempts."},
			{Type: "user.v1.DisableUser", Name: "disable", Summary: "Close the account for good."},
			{Type: "user.v1.ForgetUser", Name: "forget", Summary: "Erase the user; erasing again changes nothing."},
			{Type: "user.v1.CheckUser", Name: "check", Summary: "Ask whether the user may go on; nothing happens."},
		},
		Events: []string{
			"user.v1.UserRegistered",
			"user.v1.ConfirmationResent",
			"user.v1.EmailConfirmed",
			"user.v1.AttemptBegun",
			"user.v1.AttemptFailed",
			"user.v1.AttemptSucceeded",
			"user.v1.AttemptExpired",
			"user.v1.AttemptWithdrawn",
			"user.v1.PasswordRehashed",
			"user.v1.PasswordChanged",
			"user.v1.PasswordResetRequested",
			"user.v1.PasswordReset",
			"user.v1.TotpEnrolmentBegun",
			"user.v1.TotpActivated",
			"user.v1.TotpRemoved",
			"user.v1.RecoveryCodesReplaced",
			"user.v1.DeviceRemembered",
			"user.v1.DeviceForgotten",
			"user.v1.RolesSet",
			"user.v1.UserLocked",
			"user.v1.UserUnlocked",
			"user.v1.UserDisabled",
			"user.v1.UserErased",
		},
		Attributes: func(s *userv1.UserState) map[string]any {
			return map[string]any{"status": statusName(s)}
		},
	}
}

// statusName is the status as policies know it; empty where there is no such user.
func statusName(s *userv1.UserState) string {
	if s.GetStatus() == 0 {
		return ""
	}
	return strings.ToLower(strings.TrimPrefix(s.GetStatus().String(), "USER_STATUS_"))
}
