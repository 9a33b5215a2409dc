// Package identity lets users register, log in with one or two factors, and end what they began; administrators look after
// them. It is an http.Handler for the paths of Paths, to be mounted beside the API.
//
// What must be decided once is decided by the aggregates user, session, emailclaim and source; what is secret is verified here
// and reaches them as ciphertext, as a hash or as a verdict. An attempt to authenticate is
//
//	begin at the user ∥ begin at the source   may be refused: locked, delayed, out of attempts
//	verify                                    against what the outcome of the first carries
//	complete at the user ∥ at the source      names the version that was verified against
//
// Of an attempt that only one of the two lets begin, the other half ends at once: refused by the account, it has failed for
// the source; refused by the source, it is withdrawn at the user, so that nobody slows down an owner from an address that may
// not even try. Where a server does not answer, and where hashing is overloaded, both are withdrawn: nothing was verified,
// and an outage keeps nobody out. Once begun, an attempt goes on without its client.
//
// An account that does not exist takes the same way on one of 1,024 streams without a user, with a hash that nothing fits.
//
// Nothing is believed of a token but its signature: every request of a user asks the session and the user whether they still
// are what the token says, which no read model could answer at once.
package identity
