// Package session names the messages of sessions on the wire.
package session

import (
	"github.com/cqrsflow/cqrsflow/schemas"
	sessionv1 "github.com/cqrsflow/cqrsflow/schemas/session/v1"
)

// StateVersion is the version of the encoding of SessionState in snapshots.
const StateVersion = 1

// Commands are the commands that a session takes.
var Commands = schemas.NewRegistry(
	schemas.Current(&sessionv1.StartSession{}),
	schemas.Current(&sessionv1.RefreshSession{}),
	schemas.Current(&sessionv1.ReauthenticateSession{}),
	schemas.Current(&sessionv1.RevokeSession{}),
	schemas.Current(&sessionv1.CheckSession{}),
)

// Events are the events that may stand in a session's stream.
var Events = schemas.NewRegistry(
	schemas.Current(&sessionv1.SessionStarted{}),
	schemas.Current(&sessionv1.SessionRefreshed{}),
	schemas.Current(&sessionv1.SessionReauthenticated{}),
	schemas.Current(&sessionv1.SessionRevoked{}),
)

// Codec is the codec of sessions whose state is a SessionState.
var Codec = schemas.NewCodec(StateVersion, Commands, Events, &sessionv1.SessionState{})
