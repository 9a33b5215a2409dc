// Package emailclaim is the aggregate of claims of e-mail addresses: whose an address is. Its stream ID is
// the HMAC of the normalised address, so that two users cannot have one, and nobody reads it.
//
// What a command causes by whose the address is; "−" is accepted and nothing to do:
//
//	              free                   own claim      own, lapsed         own, confirmed  another's      another's, lapsed
//	ClaimEmail    EmailClaimed           −              EmailClaimed        −               email_claimed  EmailClaimed
//	ConfirmClaim  email_claim_not_found  ClaimConfirmed email_claim_lapsed  −               email_claimed  email_claimed
//	ReleaseClaim  −                      ClaimReleased  ClaimReleased       ClaimReleased   −              −
package emailclaim
