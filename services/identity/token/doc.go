// Package token makes and checks what users carry: access tokens, short-lived JWTs signed with Ed25519 that anybody with the
// public keys can verify (RFC 9068, RFC 8725), and refresh tokens, opaque and stored as hashes only.
package token
