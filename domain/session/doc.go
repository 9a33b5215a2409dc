// Package session is the aggregate of sessions: started by an authentication, kept alive by refresh tokens
// that are used once each, ended by time or by revocation.
//
// What a command causes, by what it presents; "−" is accepted and nothing to do:
//
//	                       no session         started                  over             revoked
//	StartSession           SessionStarted     session_already_started  ← the same       ← the same
//	RefreshSession         session_not_found                           session_expired  session_revoked
//	  the current token                       SessionRefreshed
//	  the last one, ≤ 10 s                    −, token_ciphertext is the answer
//	  an older one                            SessionRevoked (reuse)
//	  any other                               refresh_token_unknown
//	ReauthenticateSession  session_not_found                           session_expired  session_revoked
//	  the current token                       SessionReauthenticated
//	  the last one, ≤ 10 s                    SessionReauthenticated without a rotation; − where that authentication is noted
//	  an older one                            SessionRevoked (reuse)
//	  any other                               refresh_token_unknown
//	RevokeSession          session_not_found  SessionRevoked           SessionRevoked   −
//	  of another user      session_not_found  session_not_found        ← the same       ← the same
//	CheckSession           session_not_found  −                        session_expired  session_revoked
//
// An accepted outcome is therefore no token yet: the caller looks at the status in the state.
package session
