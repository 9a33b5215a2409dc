package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/event/principal"
	"github.com/cqrsflow/cqrsflow/schemas"
)

// submission is a command that has been read and can be published.
type submission struct {
	aggregate   *decider.Type
	command     event.Command
	contentType string
	body        []byte
	path        string
}

// post is POST /v1/{aggregates}/{id}/{command}.
func (a *API) post(c *call) error {
	s, err := a.readCommand(c)
	if err != nil {
		return err
	}
	prefer, err := preferred(c.r.Header)
	if err != nil {
		return err
	}
	waitFor, err := a.waitFor(c.r.Header)
	if err != nil {
		return err
	}
	if prefer.async && !prefer.waitSet {
		return a.publishOnly(c, s)
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), prefer.patience())
	defer cancel()
	o, err := a.cfg.Commands.Do(ctx, s.command, s.aggregate.Name, s.contentType, s.body)
	if prefer.async && errors.Is(err, event.ErrOutcomeUnknown) && c.r.Context().Err() == nil {
		return a.pending(c, s)
	}
	if err != nil {
		return commandProblem(s.command.ID, err)
	}
	ans, err := a.answer(ctx, s, o, waitFor)
	if err != nil {
		return err
	}
	if ans.problem != nil {
		return ans.problem
	}
	h := c.w.Header()
	h.Set("ETag", versionTag(event.Version(ans.accepted.Version)))
	if !o.Position.IsZero() {
		h.Set("Cqrs-Position", o.Position.String())
	}
	if o.Replayed {
		h.Set("Idempotent-Replayed", "true")
	}
	if prefer.async {
		h.Set("Preference-Applied", "respond-async")
	}
	return c.writeJSON(http.StatusOK, ans.accepted)
}

// publishOnly answers as soon as the command is durable.
func (a *API) publishOnly(c *call, s submission) error {
	ctx, cancel := context.WithTimeout(c.r.Context(), DefaultWait)
	defer cancel()
	if _, err := a.cfg.Commands.Publish(ctx, s.command, s.aggregate.Name, s.contentType, s.body); err != nil {
		return commandProblem(s.command.ID, err)
	}
	return a.pending(c, s)
}

func (a *API) pending(c *call, s submission) error {
	h := c.w.Header()
	h.Set("Location", commandPath(s.aggregate.Plural, s.command.Stream, s.command.ID))
	h.Set("Preference-Applied", "respond-async")
	return c.writeJSON(http.StatusAccepted, Pending{CommandID: s.command.ID})
}

// answer renders an outcome and, where it was accepted, waits for the read models that were asked for.
func (a *API) answer(ctx context.Context, s submission, o event.Outcome, waitFor []string) (answer, error) {
	state, err := stateOf(s.aggregate, o)
	if err != nil {
		return answer{}, err
	}
	ans := answerOf(o, state)
	if ans.accepted != nil {
		ans.accepted.Behind = a.behind(ctx, o.Position, waitFor)
	}
	return ans, nil
}

// behind waits for read models at the same time and names those that were late, or cannot tell.
func (a *API) behind(ctx context.Context, p event.Position, waitFor []string) []string {
	if p.IsZero() {
		return nil
	}
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		late = map[string]bool{}
	)
	for _, name := range waitFor {
		for _, model := range a.cfg.WaitFor[name] {
			progress := a.cfg.Progress[model]
			wg.Go(func() {
				if progress != nil {
					if _, err := progress.Wait(ctx, []event.Position{p}); err == nil {
						return
					}
				}
				mu.Lock()
				defer mu.Unlock()
				late[name] = true
			})
		}
	}
	wg.Wait()
	return slices.DeleteFunc(slices.Clone(waitFor), func(name string) bool { return !late[name] })
}

func (a *API) waitFor(h http.Header) ([]string, error) {
	var out []string
	for _, name := range list(h.Values("Cqrs-Wait-For")) {
		if _, ok := a.cfg.WaitFor[name]; !ok {
			return nil, malformed("Cqrs-Wait-For", fmt.Sprintf("%s is none of %s", clip(name), strings.Join(a.waitNames(), ", ")))
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out, nil
}

func (a *API) readCommand(c *call) (submission, error) {
	t := c.aggregate
	ct, ok := t.Command(c.vars["command"])
	if !ok || !ct.Public {
		return submission{}, unknownCommand(t, c.vars["command"])
	}
	if err := a.may(c, ct.Type); err != nil {
		return submission{}, err
	}
	key, has, err := one(c.r.Header, "Idempotency-Key")
	if err != nil {
		return submission{}, err
	}
	if has && event.CheckCommandID(key) != nil {
		return submission{}, malformed("Idempotency-Key", "it must be 1 to 64 printable ASCII characters")
	}
	expected, err := expectedVersion(c.r.Header)
	if err != nil {
		return submission{}, err
	}
	data, err := a.readBody(c, a.cfg.MaxBody, "application/json")
	if err != nil {
		return submission{}, err
	}
	s := submission{aggregate: t, path: c.r.URL.EscapedPath()}
	s.command = a.command(c, ct, c.stream, key, expected)
	if s.contentType, s.body, err = a.encodeCommand(t, ct, data); err != nil {
		return s, err
	}
	unit, _, err := one(c.r.Header, unitHeader)
	if err != nil {
		return s, err
	}
	if err := a.assign(c.r.Context(), &s, unitHeader, unit); err != nil {
		return s, err
	}
	return s, a.sign(c, &s)
}

// sign puts the proof of who asks into a command, as the last thing that is done to it.
func (a *API) sign(c *call, s *submission) error {
	who := principal.FromContext(c.r.Context())
	if a.cfg.Principals == nil || who.Kind == principal.Anonymous {
		return nil
	}
	return (&principal.Signer{Keys: a.cfg.Principals, As: who}).Sign(&s.command, s.contentType, s.body)
}

func (a *API) command(c *call, ct decider.CommandType, id event.StreamID, key string, expected event.Version) event.Command {
	if key == "" {
		key = newCommandID()
	}
	return event.Command{ID: key, Type: ct.Type, Stream: id, ExpectedVersion: expected, CorrelationID: c.trace.RequestID,
		TraceParent: c.trace.Parent, ReturnState: true}
}

// encodeCommand reads a body as JSON and writes it as the codec's own bytes, so that the same command
// is the same bytes however its JSON was laid out.
func (a *API) encodeCommand(t *decider.Type, ct decider.CommandType, data []byte) (contentType string, body []byte, err error) {
	decoded, err := t.Codec.DecodeCommand(ct.Type, schemas.ContentTypeJSON, data)
	switch {
	case errors.Is(err, event.ErrMalformed):
		return "", nil, unreadable(err)
	case err != nil:
		return "", nil, err
	}
	m, ok := decoded.(proto.Message)
	if !ok {
		return schemas.ContentTypeJSON, data, nil
	}
	body, err = schemas.Marshal(m)
	if err == nil && len(body) > maxRecord {
		err = tooLarge(maxRecord)
	}
	return schemas.ContentTypeProtobuf, body, err
}

// maxRecord is what fits into a record under Kafka's default limits, with headers.
const maxRecord = 960_000

// readBody reads a body of one of the types; no bytes at all may be of any.
func (a *API) readBody(c *call, most int64, want ...string) ([]byte, error) {
	if c.r.ContentLength > most {
		return nil, tooLarge(most)
	}
	if e := c.r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return nil, problem(codeMediaType, "The body is encoded as "+clip(e)+"; it must not be compressed.")
	}
	data, err := io.ReadAll(http.MaxBytesReader(c.conn, c.r.Body, most))
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return nil, tooLarge(large.Limit)
		}
		return nil, problem(codeMalformed, "The body could not be read to its end.")
	}
	if len(data) == 0 {
		return data, nil
	}
	return data, checkMediaType(c.r.Header, want)
}

func checkMediaType(h http.Header, want []string) error {
	given, has, err := one(h, "Content-Type")
	if err != nil || !has {
		return err
	}
	base, params, err := mime.ParseMediaType(given)
	if err != nil || !slices.Contains(want, base) {
		return problem(codeMediaType, "The body is "+clip(given)+"; it must be "+want[0]+".").with("Accept", want[0])
	}
	if charset := params["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		return problem(codeMediaType, "The body's charset is "+clip(charset)+"; it must be utf-8.").with("Accept", want[0])
	}
	return nil
}

func tooLarge(most int64) *Problem {
	return problem(codeTooLarge, fmt.Sprintf("The body is larger than the %d bytes that are taken.", most))
}

func unknownCommand(t *decider.Type, name string) *Problem {
	var names []string
	for _, ct := range t.Commands {
		if ct.Public {
			names = append(names, ct.Name)
		}
	}
	if len(names) == 0 {
		return problem(codeUnknownCommand, t.Plural+" take no public command.")
	}
	return problem(codeUnknownCommand, t.Plural+" take no command "+clip(name)+"; they take "+strings.Join(names, ", ")+".")
}

// commandProblem tells "not taken" from "taken, but no outcome in time".
func commandProblem(id string, err error) error {
	var p *Problem
	switch {
	case errors.Is(err, event.ErrOutcomeUnknown):
		p = problem(codeUnknownOutcome, "The command was sent, but there is no outcome yet. Ask again with the same Idempotency-Key.")
	case errors.Is(err, event.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		p = problem(codeUnavailable, "The command was not taken. Send it again.").with("Retry-After", "1")
	default:
		return err
	}
	p.CommandID = id
	return &causedProblem{Problem: p, cause: err}
}

// causedProblem is a Problem whose cause is for the log.
type causedProblem struct {
	*Problem
	cause error
}

func (p *causedProblem) Error() string   { return p.Problem.Error() + ": " + p.cause.Error() }
func (p *causedProblem) Unwrap() []error { return []error{p.Problem, p.cause} }

// newCommandID makes a UUIDv7 (RFC 9562): IDs sort by time.
func newCommandID() string { return uuid.Must(uuid.NewV7()).String() }
