package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
)

// MaxBatch is the most commands that one request may carry.
const MaxBatch = 1000

// BatchLine is one line of a batch of commands.
type BatchLine struct {
	Aggregate       string          `json:"aggregate" doc:"Name of the aggregate type." example:"order"`
	ID              string          `json:"id" doc:"The aggregate's stream ID."`
	Command         string          `json:"command" doc:"The command, as in its path." example:"place"`
	CommandID       string          `json:"commandId,omitempty" doc:"The idempotency key; made and returned where absent." minLength:"1" maxLength:"64"`
	ExpectedVersion json.RawMessage `json:"expectedVersion,omitempty" doc:"The version that the aggregate must have; 0 where it must not exist."`
	Unit            string          `json:"unit,omitempty" doc:"The customer that the command is for, for experiments, as the header Cqrs-Unit says it of one command."`
	Data            json.RawMessage `json:"data,omitempty" doc:"The command's body."`
}

// result is the outcome of one line on its way back.
type result struct {
	outcome event.Outcome
	err     error
}

// postBatch is POST /v1/commands: the lines are published in order without waiting for each other, and
// answered in order. A line that cannot be read is answered with its problem; the others go ahead.
func (a *API) postBatch(c *call) error {
	for _, header := range []string{"Idempotency-Key", "If-Match", "If-None-Match", unitHeader} {
		if c.r.Header.Get(header) != "" {
			return malformed(header, "a batch has it on each line: commandId, expectedVersion, unit")
		}
	}
	prefer, err := preferred(c.r.Header)
	if err != nil {
		return err
	}
	waitFor, err := a.waitFor(c.r.Header)
	if err != nil {
		return err
	}
	body, err := a.readBody(c, a.cfg.MaxBatchBody, "application/x-ndjson", "application/ndjson", "application/jsonl")
	if err != nil {
		return err
	}
	lines, err := splitLines(body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), prefer.patience())
	defer cancel()
	submissions := make([]submission, len(lines))
	results := make([]chan result, len(lines))
	for i, line := range lines {
		results[i] = make(chan result, 1)
		s, err := a.readLine(c, line)
		submissions[i] = s
		if err == nil {
			done := results[i]
			err = a.cfg.Commands.Enqueue(ctx, s.aggregate.Name, s.command, s.contentType, s.body, func(o event.Outcome, err error) {
				done <- result{o, err}
			})
		}
		if err != nil {
			results[i] <- result{err: err}
		}
	}
	c.w.Header().Set("Content-Type", "application/x-ndjson")
	c.w.Header().Set("Cache-Control", "no-store")
	for i, s := range submissions {
		r := <-results[i]
		if _, err := c.w.Write(a.batchAnswer(ctx, c, s, r, waitFor)); err != nil {
			return nil // the caller has gone; what was published goes its way
		}
	}
	if len(lines) == 0 {
		c.w.WriteHeader(http.StatusOK)
	}
	return nil
}

// batchAnswer is the line that answers a line.
func (a *API) batchAnswer(ctx context.Context, c *call, s submission, r result, waitFor []string) []byte {
	err := r.err
	if err == nil {
		var ans answer
		if ans, err = a.answer(ctx, s, r.outcome, waitFor); err == nil && ans.accepted != nil {
			ans.accepted.Status = http.StatusOK
			line, eerr := encode(ans.accepted)
			if eerr == nil {
				return line
			}
			err = eerr
		} else if err == nil {
			err = ans.problem
		}
	} else if s.aggregate != nil {
		err = commandProblem(s.command.ID, err)
	}
	p := *problemOf(err)
	if p.Code == codeInternal {
		a.cfg.Logger.Error("line of a batch failed", "path", s.path, "traceId", c.trace.TraceID, "error", err)
	}
	p.TraceID, p.Instance = c.trace.TraceID, cmp.Or(s.path, c.r.URL.EscapedPath())
	line, err := encode(&p)
	if err != nil { // a state that is no JSON: cannot be
		return []byte(`{"status":500,"code":"internal"}` + "\n")
	}
	return line
}

func splitLines(body []byte) ([][]byte, error) {
	var lines [][]byte
	for line := range bytes.SplitSeq(body, []byte("\n")) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if len(lines) == MaxBatch {
			return nil, problem(codeTooLarge, fmt.Sprintf("The batch has more than %d lines; nothing of it was taken.", MaxBatch))
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// readLine turns a line into a submission, or says what is wrong with it.
func (a *API) readLine(c *call, line []byte) (submission, error) {
	var in BatchLine
	if int64(len(line)) > a.cfg.MaxBody {
		return submission{}, tooLarge(a.cfg.MaxBody)
	}
	if !utf8.Valid(line) {
		return submission{}, problem(codeMalformed, "The line is not valid UTF-8.")
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return submission{}, problem(codeMalformed, "The line cannot be read: "+jsonMessage(err)+".")
	}
	if _, err := d.Token(); err != io.EOF {
		return submission{}, problem(codeMalformed, "The line cannot be read: there is more after the object.")
	}
	t := a.named(in.Aggregate)
	if t == nil {
		return submission{}, problem(codeUnknownAggregate, "There is no aggregate type "+clip(in.Aggregate)+"; there are "+strings.Join(a.names(), ", ")+".")
	}
	ct, ok := t.Command(in.Command)
	if !ok || !ct.Public {
		return submission{}, unknownCommand(t, in.Command)
	}
	if err := a.may(c, ct.Type); err != nil {
		return submission{}, err
	}
	id, err := event.ParseStreamID(in.ID)
	if err != nil {
		return submission{}, malformed("id", streamMessage(err))
	}
	if in.CommandID != "" && event.CheckCommandID(in.CommandID) != nil {
		return submission{}, malformed("commandId", "it must be 1 to 64 printable ASCII characters")
	}
	expected := event.AnyVersion
	if len(in.ExpectedVersion) > 0 {
		v, ok := natural(strings.Trim(string(in.ExpectedVersion), `"`))
		if !ok {
			return submission{}, malformed("expectedVersion", "it must be a version: a whole number, at least 0")
		}
		expected = event.Version(v)
	}
	s := submission{aggregate: t, path: "/v1/" + t.Plural + "/" + in.ID + "/" + in.Command}
	s.command = a.command(c, ct, id, in.CommandID, expected)
	if s.contentType, s.body, err = a.encodeCommand(t, ct, in.Data); err != nil {
		return s, err
	}
	if err := a.assign(c.r.Context(), &s, "unit", in.Unit); err != nil {
		return s, err
	}
	return s, a.sign(c, &s)
}

// jsonMessage is what encoding/json says, in the caller's terms.
func jsonMessage(err error) string {
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Sprintf("%s at byte %d", syntax, syntax.Offset)
	case errors.As(err, &typ) && typ.Field == "":
		return "it is a " + typ.Value + ", not an object"
	case errors.As(err, &typ):
		return fmt.Sprintf("%s is a %s, not a string", typ.Field, typ.Value)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "it ends too early"
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

func (a *API) named(name string) *decider.Type {
	for _, t := range a.cfg.Aggregates {
		if t.Name == name {
			return t
		}
	}
	return nil
}

func (a *API) names() []string {
	names := make([]string, len(a.cfg.Aggregates))
	for i, t := range a.cfg.Aggregates {
		names[i] = t.Name
	}
	return names
}
