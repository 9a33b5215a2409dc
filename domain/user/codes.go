package user

import "github.com/cqrsflow/cqrsflow/domain/throttle"

// The codes of rejections. They are part of the API: they never change their meaning.
const (
	// CodeNotFound: there is no such user; all commands but RegisterUser, RequestPasswordReset and attempts with a password that fail.
	CodeNotFound = "user_not_found"
	// CodeAlreadyRegistered: there is such a user already; RegisterUser.
	CodeAlreadyRegistered = "user_already_registered"
	// CodeErased: the user is forgotten; all commands but ForgetUser.
	CodeErased = "user_erased"
	// CodeLocked: the user is locked; all commands but BeginAttempt and an administrator's.
	CodeLocked = "user_locked"
	// CodeDisabled: the account is closed; all commands but BeginAttempt, DisableUser and ForgetUser.
	CodeDisabled = "user_disabled"

	// CodeEmailNotConfirmed: the e-mail address has to be confirmed first; attempts that succeed, and whatever an owner may do with an account.
	CodeEmailNotConfirmed = "email_not_confirmed"
	// CodeEmailAlreadyConfirmed: the e-mail address is confirmed; ConfirmEmail, ResendConfirmation.
	CodeEmailAlreadyConfirmed = "email_already_confirmed"
	// CodeTokenInvalid: the token is not the one that was sent last, or was used; ConfirmEmail, ResetPassword.
	CodeTokenInvalid = "token_invalid"
	// CodeTokenExpired: the token is the one that was sent last, too long ago; ConfirmEmail, ResetPassword.
	CodeTokenExpired = "token_expired"
	// CodeMailSentRecently: a mail was sent less than MailInterval ago; ResendConfirmation, RequestPasswordReset.
	CodeMailSentRecently = "mail_sent_recently"

	// CodeTooManyAttempts: no attempt is possible now: the account is slowed down, out of attempts, locked or closed; BeginAttempt.
	CodeTooManyAttempts = throttle.CodeTooManyAttempts
	// CodeAttemptExists: an open attempt has that ID; BeginAttempt.
	CodeAttemptExists = "attempt_already_exists"
	// CodeAttemptNotFound: no open attempt with that factor has that ID; CompleteAttempt, ChangePassword.
	CodeAttemptNotFound = "attempt_not_found"
	// CodeAttemptExpired: the attempt took longer than 60 s; CompleteAttempt, ChangePassword.
	CodeAttemptExpired = "attempt_expired"
	// CodeCredentialChanged: what was verified against is not the current version; CompleteAttempt, RehashPassword, ChangePassword, ActivateTotp.
	CodeCredentialChanged = "credential_changed"

	// CodeReauthenticationRequired: the authentication is too old, older than the password, or without a factor that the user has; changes of factors.
	CodeReauthenticationRequired = "reauthentication_required"
	// CodeTotpAlreadyActive: there is a second factor; BeginTotpEnrolment, ActivateTotp.
	CodeTotpAlreadyActive = "totp_already_active"
	// CodeTotpNotActive: there is no second factor; attempts with one, RemoveTotp, ReplaceRecoveryCodes.
	CodeTotpNotActive = "totp_not_active"
	// CodeTotpNotEnrolled: no seed is waiting; ActivateTotp.
	CodeTotpNotEnrolled = "totp_not_enrolled"
	// CodeTotpEnrolmentExpired: the seed waited longer than EnrolmentOpen; ActivateTotp.
	CodeTotpEnrolmentExpired = "totp_enrolment_expired"
	// CodeTotpCodeUsed: a code of that time step or of a later one was accepted already; CompleteAttempt, ActivateTotp.
	CodeTotpCodeUsed = "totp_code_used"
	// CodeTotpCodeNotCurrent: the time step is not of this time; CompleteAttempt, ActivateTotp.
	CodeTotpCodeNotCurrent = "totp_code_not_current"
	// CodeRecoveryCodeInvalid: there is no such recovery code, or it was used; CompleteAttempt.
	CodeRecoveryCodeInvalid = "recovery_code_invalid"
	// CodeMFARequired: a role of the user demands the second factor; RemoveTotp.
	CodeMFARequired = "mfa_required"

	// CodeUnknownRole: there is no such role; RegisterUser, SetRoles.
	CodeUnknownRole = "unknown_role"
)
