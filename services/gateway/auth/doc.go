// Package auth tells the gateway, or a server without one before it, who sends a request: by an access token of a user, whose
// session must still count, or by the operator's token.
package auth
