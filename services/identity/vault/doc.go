// Package vault keeps what is personal unreadable without a key that can be deleted. Every user has a key of their own in
// PostgreSQL, wrapped by a key-encryption key of the configuration; fields in events are encrypted with it. To forget a user
// is to delete the key: what the log, snapshots and backups hold of them is noise from then on.
//
// The table is not made from the log and cannot be made anew: it is backed up apart, and its backups must expire, or what was
// forgotten comes back with them.
package vault
