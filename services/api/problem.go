package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/query"
)

// Problem is an error as callers see it (RFC 9457), and an error in this package.
type Problem struct {
	Type     string             `json:"type" doc:"Reference to a description of the kind of problem." format:"uri-reference"`
	Title    string             `json:"title" doc:"The kind of problem, in words."`
	Status   int                `json:"status" doc:"The HTTP status code."`
	Detail   string             `json:"detail,omitempty" doc:"What is wrong this time."`
	Instance string             `json:"instance,omitempty" doc:"The path that was asked for." format:"uri-reference"`
	Code     string             `json:"code" doc:"Stable name of the problem, in snake_case."`
	TraceID  string             `json:"traceId,omitempty" doc:"Find the request in logs and traces by this."`
	Errors   []event.FieldError `json:"errors,omitempty" doc:"What is wrong with which field or parameter."`

	CommandID string          `json:"commandId,omitempty" doc:"The command that it is about."`
	Outcome   string          `json:"outcome,omitempty" doc:"What became of the command." enum:"rejected,conflict,denied,invalid"`
	Version   *int64          `json:"version,omitempty" doc:"Version of the aggregate that refused the command; 0 where it does not exist."`
	State     json.RawMessage `json:"state,omitempty" doc:"State of the aggregate that refused the command; null where it does not exist."`

	header http.Header
}

// Error is for logs.
func (p *Problem) Error() string { return p.Code + ": " + p.Detail }

// Codes of problems that are not a domain's own.
const (
	codeMalformed        = "malformed_request"
	codeUnknownAggregate = "unknown_aggregate"
	codeUnknownCommand   = "unknown_command"
	codeNotFound         = "not_found"
	codeCommandNotFound  = "command_not_found"
	codeNotYet           = "not_yet"
	codeMethod           = "method_not_allowed"
	codeTooLarge         = "request_too_large"
	codeMediaType        = "unsupported_media_type"
	codeConflict         = "version_conflict"
	codeInvalid          = "invalid_command"
	codeUnauthenticated  = "unauthenticated"
	codeDenied           = "permission_denied"
	codeUnavailable      = "unavailable"
	codeUnknownOutcome   = "outcome_unknown"
	codeBehind           = "projection_behind"
	codeUndecodable      = "undecodable_event"
	codeIncomplete       = "history_incomplete"
	codeInternal         = "internal"

	// The processor's words that HTTP itself never causes, and one that it seldom does.
	codeMalformedCommand = "malformed_command"
	codeWrongPartition   = "wrong_partition"
	codePrincipalInvalid = "principal_invalid"
	codeEventTooLarge    = "event_too_large"
)

// gatewayCodes are those of a gateway before the API, which may answer any request with them.
var gatewayCodes = []string{codeUnauthenticated, codeDenied, "cross_origin", "request_timeout", "rate_limited", "bad_gateway", "gateway_timeout"}

// kind is what the documentation says of a code; see problemKinds.
type kind struct {
	Code   string
	Status int
	Title  string
	Text   string
}

// problemKinds are all codes but the domains' own, in the order in which /docs lists them.
var problemKinds = []kind{
	{codeMalformed, 400, "Malformed request", "The request cannot be read: a header, a parameter, an ID or the JSON. errors names the part at fault where there is one."},
	{codeUnauthenticated, 401, "Unauthenticated", "There is no token, or none that counts any more: log in, or refresh it."},
	{codeDenied, 403, "Permission denied", "The principal may not do this."},
	{"cross_origin", 403, "Cross-origin request", "The request would change something and comes from a page of another site."},
	{codeNotFound, 404, "Not found", "There is nothing by that ID, or no such path."},
	{codeUnknownAggregate, 404, "Unknown aggregate", "No aggregate type has that name."},
	{codeUnknownCommand, 404, "Unknown command", "The aggregate type has no public command of that name."},
	{codeCommandNotFound, 404, "Command not found", "There is no outcome of that command, or none yet."},
	{codeNotYet, 404, "Not yet", "The aggregate exists, but not at the version or time asked for."},
	{codeMethod, 405, "Method not allowed", "The path does not take that method; Allow lists those it takes."},
	{"request_timeout", 408, "Request timeout", "The body did not come in time."},
	{codeRejected, 409, "Rejected", "The aggregate's rules refused the command in its state. code is the aggregate's own; version and state are what refused it."},
	{codeConflict, 412, "Version conflict", "The aggregate was not at the expected version; version and state are what it is at."},
	{codeTooLarge, 413, "Request too large", "The body is larger than is taken."},
	{codeMediaType, 415, "Unsupported media type", "The body is of another type than the one that is taken, or is compressed."},
	{codeMalformedCommand, 400, "Malformed command", "What stands on the topic is no command that can be read. It was not sent over HTTP, which refuses such."},
	{codeWrongPartition, 422, "Wrong partition", "The command stands on another partition than its stream's. It was not sent over HTTP; its producer needs a murmur2 partitioner."},
	{codePrincipalInvalid, 403, "Principal invalid", "What was signed of who asks proves nothing: it is of another command, another key, or has expired."},
	{codeEventTooLarge, 422, "Event too large", "An event that the command would cause is larger than is taken."},
	{codeInvalid, 422, "Invalid command", "The command breaks rules of its schema; errors names the fields."},
	{codeReused, 422, "Command ID reused", "The idempotency key was used before for another command."},
	{"rate_limited", 429, "Too many requests", "There were too many requests. Retry-After says when there may be more, RateLimit how many are left."},
	{codeInternal, 500, "Internal error", "A fault of the server. Quote the traceId."},
	{codeUndecodable, 500, "Undecodable event", "An event of the stream cannot be read by this version of the server."},
	{codeIncomplete, 500, "History incomplete", "Events of the stream are missing in the history."},
	{"bad_gateway", 502, "Bad gateway", "A server behind the gateway answered with something that cannot be handed on."},
	{codeUnavailable, 503, "Unavailable", "A server behind this one does not answer. A command was not taken: send it again."},
	{codeBehind, 503, "Projection behind", "The read model has not applied the positions of Cqrs-After in time. Ask again."},
	{"gateway_timeout", 504, "Gateway timeout", "A server behind the gateway did not answer in time."},
	{codeUnknownOutcome, 504, "Outcome unknown", "The command was taken, but there is no outcome yet. Ask again with the same Idempotency-Key, or for the outcome by its ID."},
}

const (
	codeRejected = "rejected"
	codeReused   = "command_id_reused"
)

// problem makes a Problem of a code in problemKinds.
func problem(code, detail string, errs ...event.FieldError) *Problem {
	for _, k := range problemKinds {
		if k.Code == code {
			return &Problem{Type: "/docs#problem-" + code, Title: k.Title, Status: k.Status, Code: code, Detail: detail, Errors: errs}
		}
	}
	return problem(codeInternal, "")
}

// malformed is a 400 that names the header, parameter or part of the path at fault.
func malformed(where, message string) *Problem {
	return problem(codeMalformed, where+": "+message, event.FieldError{Field: where, Message: message})
}

func (p *Problem) with(header, value string) *Problem {
	if p.header == nil {
		p.header = http.Header{}
	}
	p.header.Set(header, value)
	return p
}

// problemOf decides what a caller learns of an error. Only text made for callers gets through: what
// servers, drivers and the system say stays in the log.
func problemOf(err error) *Problem {
	var p *Problem
	var sort *query.BadSortError
	var unread *query.EventError
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &large):
		return tooLarge(large.Limit)
	case errors.As(err, &sort):
		return malformed("sort", sort.Error())
	case errors.Is(err, query.ErrBadCursor):
		return malformed("cursor", "it was not given out for this query; leave it out to start from the beginning")
	case errors.Is(err, query.ErrBehind):
		return problem(codeBehind, "The read model has not applied the positions asked for in time.").with("Retry-After", "1")
	case errors.Is(err, query.ErrNotYet):
		return problem(codeNotYet, "It exists, but not at that version or time.")
	case errors.Is(err, event.ErrNotFound):
		return problem(codeNotFound, "There is nothing by that ID.")
	case errors.As(err, &unread):
		return problem(codeUndecodable, fmt.Sprintf("Event %d of the stream, of type %s, cannot be read by this version of the server.", unread.Version, unread.Type))
	case errors.Is(err, event.ErrCorrupt):
		return problem(codeIncomplete, "Events of the stream are missing in the history; an operator must look.")
	case errors.Is(err, event.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return problem(codeUnavailable, "A server behind this one does not answer; nothing was changed.").with("Retry-After", "1")
	}
	return problem(codeInternal, "Something went wrong in the server.")
}

// unreadable is the 400 for a body that the codec refused. Its text is made for callers.
func unreadable(err error) *Problem {
	text := strings.TrimPrefix(err.Error(), event.ErrMalformed.Error()+": ")
	p := problem(codeMalformed, text)
	if _, rest, ok := strings.Cut(text, `unknown field "`); ok {
		if field, _, ok := strings.Cut(rest, `"`); ok {
			p.Errors = []event.FieldError{{Field: field, Message: "there is no such field"}}
		}
	}
	return p
}
