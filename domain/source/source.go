package source

import (
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/domain/throttle"
	sourcev1 "github.com/cqrsflow/cqrsflow/schemas/source/v1"
)

// Name is the aggregate type.
const Name = "source"

// Fingerprint numbers the meaning of Evolve. Raise it whenever Evolve makes another state of the same
// events, which includes the delays: snapshots made before are then discarded. TestGoldenFolds fails
// where that was forgotten.
const Fingerprint = 1

// ForgottenAfter is how long after the last attempt earlier failures count no more: an address gets another user.
const ForgottenAfter = 24 * time.Hour

// Attempts is how failures slow a source down. There is no ceiling: many may share an address.
var Attempts = throttle.Policy{From: 20, First: time.Second, Longest: 15 * time.Minute}

// The codes of rejections. They are part of the API: they never change their meaning.
const (
	// CodeTooManyAttempts: the source is slowed down; BeginAttempt.
	CodeTooManyAttempts = throttle.CodeTooManyAttempts
	// CodeAttemptExists: an open attempt has that ID; BeginAttempt.
	CodeAttemptExists = "attempt_already_exists"
	// CodeAttemptNotFound: no open attempt has that ID; CompleteAttempt.
	CodeAttemptNotFound = "attempt_not_found"
	// CodeAttemptExpired: the attempt took longer than 60 s; CompleteAttempt.
	CodeAttemptExpired = "attempt_expired"
)

// Decider is the aggregate. Bodies of commands and events are messages of source.v1. Decisions take the
// recorded time for now: a client does not choose it.
var Decider = decider.Decider[decider.Command[proto.Message], proto.Message, *sourcev1.SourceState]{
	Initial: func() *sourcev1.SourceState { return &sourcev1.SourceState{} },
	Decide:  Decide,
	Evolve:  Evolve,
}

// Spec registers the aggregate. No command is public.
func Spec(codec decider.Codec) decider.Spec[proto.Message, proto.Message, *sourcev1.SourceState] {
	return decider.Spec[proto.Message, proto.Message, *sourcev1.SourceState]{
		Name: Name, Plural: "sources", Fingerprint: Fingerprint, Decider: Decider, Codec: codec,
		Commands: []decider.CommandType{
			{Type: "source.v1.BeginAttempt", Name: "begin-attempt", Summary: "Ask whether a source may try to authenticate."},
			{Type: "source.v1.CompleteAttempt", Name: "complete-attempt", Summary: "Say how an attempt ended."},
		},
		Events: []string{
			"source.v1.AttemptBegun",
			"source.v1.AttemptFailed",
			"source.v1.AttemptSucceeded",
			"source.v1.AttemptExpired",
			"source.v1.AttemptWithdrawn",
			"source.v1.FailuresForgotten",
		},
	}
}
