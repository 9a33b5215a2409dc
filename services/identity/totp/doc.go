// Package totp is the second factor: codes that change with time (RFC 6238) and recovery codes for when the device is lost.
// It keeps nothing: which step was used last, and which recovery codes are left, is for the caller to record.
package totp
