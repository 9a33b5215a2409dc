// Package password stores, checks and judges passwords: argon2id with its parameters beside the hash, a bound on how many
// are computed at once, and the policy of NIST SP 800-63B-4.
package password
