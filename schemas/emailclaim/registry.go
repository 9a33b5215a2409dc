// Package emailclaim names the messages of claims of e-mail addresses on the wire.
package emailclaim

import (
	"github.com/cqrsflow/cqrsflow/schemas"
	emailclaimv1 "github.com/cqrsflow/cqrsflow/schemas/emailclaim/v1"
)

// StateVersion is the version of the encoding of EmailClaimState in snapshots.
const StateVersion = 1

// Commands are the commands that a claim takes.
var Commands = schemas.NewRegistry(
	schemas.Current(&emailclaimv1.ClaimEmail{}),
	schemas.Current(&emailclaimv1.ConfirmClaim{}),
	schemas.Current(&emailclaimv1.ReleaseClaim{}),
)

// Events are the events that may stand in a claim's stream.
var Events = schemas.NewRegistry(
	schemas.Current(&emailclaimv1.EmailClaimed{}),
	schemas.Current(&emailclaimv1.ClaimConfirmed{}),
	schemas.Current(&emailclaimv1.ClaimReleased{}),
)

// Codec is the codec of claims whose state is an EmailClaimState.
var Codec = schemas.NewCodec(StateVersion, Commands, Events, &emailclaimv1.EmailClaimState{})
