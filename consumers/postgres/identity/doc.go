// Package identity keeps the read models of users: who they are, their sessions, and whose an e-mail address is. What is personal
// is in them as in the events: encrypted, or an HMAC. A user who is forgotten leaves an ID, and when.
package identity
