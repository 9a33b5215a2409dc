// Package user names the messages of users on the wire.
package user

import (
	"github.com/cqrsflow/cqrsflow/schemas"
	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
)

// StateVersion is the version of the encoding of UserState in snapshots.
const StateVersion = 1

// Commands are the commands that a user takes.
var Commands = schemas.NewRegistry(
	schemas.Current(&userv1.RegisterUser{}),
	schemas.Current(&userv1.ResendConfirmation{}),
	schemas.Current(&userv1.ConfirmEmail{}),
	schemas.Current(&userv1.BeginAttempt{}),
	schemas.Current(&userv1.CompleteAttempt{}),
	schemas.Current(&userv1.RehashPassword{}),
	schemas.Current(&userv1.ChangePassword{}),
	schemas.Current(&userv1.RequestPasswordReset{}),
	schemas.Current(&userv1.ResetPassword{}),
	schemas.Current(&userv1.BeginTotpEnrolment{}),
	schemas.Current(&userv1.ActivateTotp{}),
	schemas.Current(&userv1.RemoveTotp{}),
	schemas.Current(&userv1.ReplaceRecoveryCodes{}),
	schemas.Current(&userv1.RememberDevice{}),
	schemas.Current(&userv1.ForgetDevice{}),
	schemas.Current(&userv1.SetRoles{}),
	schemas.Current(&userv1.LockUser{}),
	schemas.Current(&userv1.UnlockUser{}),
	schemas.Current(&userv1.DisableUser{}),
	schemas.Current(&userv1.ForgetUser{}),
	schemas.Current(&userv1.CheckUser{}),
)

// Events are the events that may stand in a user's stream.
var Events = schemas.NewRegistry(
	schemas.Current(&userv1.UserRegistered{}),
	schemas.Current(&userv1.ConfirmationResent{}),
	schemas.Current(&userv1.EmailConfirmed{}),
	schemas.Current(&userv1.AttemptBegun{}),
	schemas.Current(&userv1.AttemptFailed{}),
	schemas.Current(&userv1.AttemptSucceeded{}),
	schemas.Current(&userv1.AttemptExpired{}),
	schemas.Current(&userv1.AttemptWithdrawn{}),
	schemas.Current(&userv1.PasswordRehashed{}),
	schemas.Current(&userv1.PasswordChanged{}),
	schemas.Current(&userv1.PasswordResetRequested{}),
	schemas.Current(&userv1.PasswordReset{}),
	schemas.Current(&userv1.TotpEnrolmentBegun{}),
	schemas.Current(&userv1.TotpActivated{}),
	schemas.Current(&userv1.TotpRemoved{}),
	schemas.Current(&userv1.RecoveryCodesReplaced{}),
	schemas.Current(&userv1.DeviceRemembered{}),
	schemas.Current(&userv1.DeviceForgotten{}),
	schemas.Current(&userv1.RolesSet{}),
	schemas.Current(&userv1.UserLocked{}),
	schemas.Current(&userv1.UserUnlocked{}),
	schemas.Current(&userv1.UserDisabled{}),
	schemas.Current(&userv1.UserErased{}),
)

// Codec is the codec of users whose state is a UserState.
var Codec = schemas.NewCodec(StateVersion, Commands, Events, &userv1.UserState{})
