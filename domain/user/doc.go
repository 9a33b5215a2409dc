// Package user is the aggregate of users: who they are, and everything about proving it that must be
// decided once under concurrency: attempts, passwords, second factors, locks, erasure. Deciders and
// snapshots see personal data and secrets as ciphertext or hashes, which a service makes.
//
// What a command causes, by status; "−" is accepted and nothing to do. Every row ends in user_not_found
// where there is no user and user_erased where the user is erased, unless it says otherwise. An owner's
// commands are refused with email_not_confirmed, user_locked and user_disabled in those statuses.
//
//	RegisterUser          UserRegistered where there is no user; user_already_registered, unknown_role
//	ResendConfirmation    registered: ConfirmationResent; email_already_confirmed, mail_sent_recently
//	ConfirmEmail          registered: EmailConfirmed; email_already_confirmed, token_invalid, token_expired
//	BeginAttempt          AttemptBegun, after an AttemptExpired for each attempt that was not completed
//	                      within 60 s; too_many_attempts while slowed down, out of attempts, locked or
//	                      disabled; attempt_already_exists; totp_not_active. Accepted where there is no user
//	CompleteAttempt       AttemptFailed or AttemptSucceeded; credential_changed, attempt_not_found,
//	                      attempt_expired, totp_code_used, totp_code_not_current, recovery_code_invalid;
//	                      email_not_confirmed only where it succeeded. A failure is accepted where there is no user
//	                      withdrawn: AttemptWithdrawn in every status but erased; attempt_not_found, attempt_expired
//	RehashPassword        owner: PasswordRehashed; credential_changed
//	ChangePassword        owner: AttemptSucceeded, PasswordChanged; as CompleteAttempt
//	RequestPasswordReset  owner: PasswordResetRequested; mail_sent_recently; − where there is no user
//	ResetPassword         owner: PasswordReset; token_invalid, token_expired
//	BeginTotpEnrolment    owner: TotpEnrolmentBegun; reauthentication_required, totp_already_active
//	ActivateTotp          owner: TotpActivated; reauthentication_required, totp_not_enrolled, totp_already_active,
//	                      totp_enrolment_expired, credential_changed, totp_code_used, totp_code_not_current
//	RemoveTotp            owner: TotpRemoved; reauthentication_required, totp_not_active, mfa_required
//	ReplaceRecoveryCodes  owner: RecoveryCodesReplaced; reauthentication_required, totp_not_active
//	RememberDevice        owner: DeviceRemembered; − where it is known by that label
//	ForgetDevice          owner: DeviceForgotten; − where it is not known
//	SetRoles              RolesSet, also where locked; − where they are the same; unknown_role, user_disabled
//	LockUser              UserLocked; − where locked; user_disabled
//	UnlockUser            UserUnlocked where locked or attempts have failed, − otherwise; user_disabled
//	DisableUser           UserDisabled, also where locked; − where disabled
//	ForgetUser            UserErased, in every status; − where erased
//	CheckUser             owner: −
//
// # Attempts
//
// A secret is verified outside, between BeginAttempt and CompleteAttempt, against what the outcome of the
// first carries. Open and expired attempts count as failed, so that guessing at once gains nothing. The
// password and the second factor are counted apart, recovery codes with the second factor; success
// forgets the failures of its own factor only. An attempt that is withdrawn, because nothing could be
// verified, does not count. When to come again stands in the guard's retry_at and at
// the end of the rejection's message, in seconds; where retry_at has passed (locked, disabled or out of
// attempts, which UnlockUser ends and a password reset for the password), the message says 900.
//
// A version names a password, not its encoding: RehashPassword keeps it.
//
// # Unknown accounts
//
// A stream without a user is shared by many unknown accounts: the state keeps a guard for each of the 64
// subjects that were tried last, with the delays and the ceiling of a user's. So an unknown account
// answers as a known one does, and the state does not grow. Who wants a failure forgotten has to try 64
// other accounts of the same stream, which the HMAC chooses.
package user
