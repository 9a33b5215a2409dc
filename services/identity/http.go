package identity

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/cqrsflow/cqrsflow/event"
)

// maxBody bounds the body of a request, in bytes.
const maxBody = 32 << 10

// call is a request on its way through a handler.
type call struct {
	w http.ResponseWriter
	r *http.Request
	// ctx goes on when the client goes away: what was begun is completed.
	ctx    context.Context
	source netip.Addr
	// caller is who asks, where the route asks for that.
	caller *Caller
}

type route struct {
	method, path string
	handle       func(*call) error
	// private routes need an access token; role, where there is one, a role besides.
	private bool
	role    string
}

func (s *Service) table() []route {
	const get, post, del = http.MethodGet, http.MethodPost, http.MethodDelete
	return []route{
		{method: post, path: "/v1/auth/register", handle: s.register},
		{method: post, path: "/v1/auth/confirm", handle: s.confirm},
		{method: post, path: "/v1/auth/login", handle: s.login},
		{method: post, path: "/v1/auth/refresh", handle: s.refresh},
		{method: post, path: "/v1/auth/logout", handle: s.logout, private: true},
		{method: get, path: "/v1/auth/sessions", handle: s.listSessions, private: true},
		{method: del, path: "/v1/auth/sessions/{id}", handle: s.endSession, private: true},
		{method: get, path: "/v1/me", handle: s.me, private: true},
		{method: post, path: "/v1/auth/mfa", handle: s.mfa},
		{method: post, path: "/v1/auth/mfa/totp", handle: s.enrolTotp, private: true},
		{method: post, path: "/v1/auth/mfa/totp/activate", handle: s.activateTotp, private: true},
		{method: del, path: "/v1/auth/mfa/totp", handle: s.removeTotp, private: true},
		{method: post, path: "/v1/auth/mfa/recovery-codes", handle: s.replaceRecoveryCodes, private: true},
		{method: post, path: "/v1/auth/password", handle: s.changePassword, private: true},
		{method: post, path: "/v1/auth/password/reset", handle: s.requestReset},
		{method: post, path: "/v1/auth/password/reset/confirm", handle: s.confirmReset},
		{method: get, path: "/.well-known/jwks.json", handle: s.jwks},
		{method: get, path: "/v1/users", handle: s.listUsers, private: true, role: roleAdmin},
		{method: get, path: "/v1/users/{id}", handle: s.getUser, private: true, role: roleAdmin},
		{method: post, path: "/v1/users/{id}/roles", handle: s.setRoles, private: true, role: roleAdmin},
		{method: post, path: "/v1/users/{id}/lock", handle: s.lockUser, private: true, role: roleAdmin},
		{method: post, path: "/v1/users/{id}/unlock", handle: s.unlockUser, private: true, role: roleAdmin},
		{method: post, path: "/v1/users/{id}/forget", handle: s.forgetUser, private: true, role: roleAdmin},
	}
}

// ServeHTTP answers a request.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// serve makes the handler: a browser on another site can change nothing, and every answer is a problem or was meant.
func (s *Service) serve() http.Handler {
	sites := http.NewCrossOriginProtection()
	sites.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.answer(w, r, &route{handle: func(*call) error {
			return crossOrigin()
		}})
	}))
	return sites.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, match(s.routes, r)) }))
}

// match returns the route of a request, or one that says that there is none. http.ServeMux would do the matching, but answers in
// plain text, and redirects paths that it would rather see written differently.
func match(routes []route, r *http.Request) *route {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	for i := range routes {
		if rt := &routes[i]; rt.method == method && samePath(rt.path, r) {
			return rt
		}
	}
	return &route{handle: func(c *call) error { return noRoute(routes, c) }}
}

// answer runs a route's handler and turns errors and panics into problems.
func (s *Service) answer(w http.ResponseWriter, r *http.Request, rt *route) {
	trace := traceID(r.Header)
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Cqrs-Trace-Id", trace)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), s.cfg.Timeout)
	defer cancel()
	c := &call{w: w, r: r, ctx: ctx, source: s.proxies.SourceOf(r)}
	err := s.run(c, rt)
	if err == nil {
		return
	}
	p := problemOf(err)
	if p.Status >= http.StatusInternalServerError {
		level := slog.LevelWarn
		if p.Code == "internal" {
			level = slog.LevelError
		}
		s.cfg.Logger.LogAttrs(ctx, level, "request failed", slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.String("code", p.Code),
			slog.String("traceId", trace), slog.Any("error", err))
	}
	p.TraceID, p.Instance = trace, r.URL.EscapedPath()
	p.write(w)
}

func (s *Service) run(c *call, rt *route) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			s.cfg.Logger.Error("request panicked", "method", c.r.Method, "path", c.r.URL.Path, "panic", p, "stack", string(debug.Stack()))
			err = errors.New("panicked")
		}
	}()
	if rt.private {
		if c.caller, err = s.auth.Authenticate(c.ctx, c.r); err != nil {
			return err
		}
		if rt.role != "" && !slices.Contains(s.effectiveRoles(c.caller.user, c.caller.session.GetMethods()), rt.role) {
			s.cfg.Logger.Warn("denied", "user", c.caller.User, "session", c.caller.Session, "method", c.r.Method, "path", c.r.URL.Path)
			return denied()
		}
	}
	return rt.handle(c)
}

func noRoute(routes []route, c *call) error {
	var allowed []string
	for _, rt := range routes {
		if samePath(rt.path, c.r) {
			allowed = append(allowed, rt.method)
		}
	}
	switch {
	case len(allowed) == 0 && strings.HasPrefix(c.r.URL.Path, "/v1/users/"): // a stream of users is not shown as others are
		return newProblem(http.StatusNotFound, "unknown_aggregate", "Unknown aggregate", "There is no aggregate type \"users\" to command or to look into.")
	case len(allowed) == 0:
		return notFound("There is no such path; see /docs.")
	}
	slices.Sort(allowed)
	allow := strings.Join(allowed, ", ")
	return newProblem(http.StatusMethodNotAllowed, "method_not_allowed", "Method not allowed", "The path takes "+allow+".").with("Allow", allow)
}

// samePath matches, and notes what stands in the place of a name in braces.
func samePath(pattern string, r *http.Request) bool {
	want, have := strings.Split(pattern, "/"), strings.Split(r.URL.Path, "/")
	same := slices.EqualFunc(want, have, func(w, h string) bool { return w == h || strings.HasPrefix(w, "{") && h != "" })
	for i := range want {
		if same && strings.HasPrefix(want[i], "{") {
			r.SetPathValue(strings.Trim(want[i], "{}"), have[i])
		}
	}
	return same
}

// read decodes the body: one JSON object without unknown fields.
func (c *call) read(into any) error {
	if t, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return newProblem(http.StatusUnsupportedMediaType, "unsupported_media_type", "Unsupported media type", "The body must be application/json.")
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return newProblem(http.StatusRequestEntityTooLarge, "request_too_large", "Request too large", fmt.Sprintf("The body is larger than %d bytes.", maxBody))
	case err != nil:
		return malformed("The body cannot be read.")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return unreadable(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return malformed("There is more than one JSON value in the body.")
	}
	return nil
}

// unreadable says what is wrong with a body and quotes nothing of it but the name of a field.
func unreadable(err error) *problem {
	var typ *json.UnmarshalTypeError
	if _, name, ok := strings.Cut(err.Error(), "unknown field "); ok {
		field := strings.Trim(name, `"`)
		if len(field) > 64 {
			field = field[:64]
		}
		field = strings.ToValidUTF8(field, "")
		return malformed("There is a field that is not known.", event.FieldError{Field: field, Message: "there is no such field"})
	}
	if errors.As(err, &typ) {
		return malformed("A field has a value of another type than it takes.", event.FieldError{Field: typ.Field, Message: "must be of type " + typ.Type.String()})
	}
	return malformed("The body is not a JSON object.")
}

// write answers with JSON.
func (c *call) write(status int, body any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(status)
	_, _ = c.w.Write(append(b, '\n')) // a caller who has gone is no news
	return nil
}

// done answers that it is done, with nothing to say.
func (c *call) done() error {
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// accepted answers that it will be looked into. It is all that anybody learns.
func (c *call) accepted() error {
	return c.write(http.StatusAccepted, Nothing{})
}

// traceID is the caller's (W3C Trace Context), or a new one.
func traceID(h http.Header) string {
	if parts := strings.Split(h.Get("Traceparent"), "-"); len(parts) >= 4 && len(parts[1]) == 32 && strings.Trim(parts[1], "0123456789abcdef") == "" {
		return parts[1]
	}
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	return hex.EncodeToString(b[:])
}

func (s *Service) jwks(c *call) error {
	doc, err := s.cfg.Keys().JWKS()
	if err != nil {
		return err
	}
	h := c.w.Header()
	h.Set("Content-Type", "application/jwk-set+json")
	h.Set("Cache-Control", "public, max-age=60")
	_, _ = c.w.Write(doc) // a caller who has gone is no news
	return nil
}
