package api

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
)

// Sizes of pages.
const (
	DefaultLimit = 50
	MaxLimit     = 200
)

const maxText = 1000

// params are the query parameters of a request. Reading one that is malformed remembers the first
// problem, which err returns.
type params struct {
	values url.Values
	bad    error
}

// parseParams refuses names that the operation does not know, and names that come twice.
func parseParams(raw string, known []string) (*params, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, problem(codeMalformed, "The query cannot be read: it has a broken percent-encoding or a semicolon.")
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if !slices.Contains(known, name) {
			message := "there is no such parameter here"
			if len(known) > 0 {
				message += "; there are " + strings.Join(known, ", ")
			}
			return nil, malformed(strings.ToValidUTF8(name[:min(len(name), 64)], "?"), message)
		}
		if len(values[name]) > 1 {
			return nil, malformed(name, "it may be given once")
		}
	}
	return &params{values: values}, nil
}

func (p *params) fail(name, message string) {
	if p.bad == nil {
		p.bad = malformed(name, message)
	}
}

func (p *params) err() error { return p.bad }

func (p *params) has(name string) bool { return p.values.Get(name) != "" }

// text is any valid text up to a bound.
func (p *params) text(name string) string {
	s := p.values.Get(name)
	if msg := badText(s); msg != "" {
		p.fail(name, msg)
		return ""
	}
	return s
}

func badText(s string) string {
	switch {
	case strings.ToValidUTF8(s, "") != s:
		return "it is not valid UTF-8"
	case strings.ContainsRune(s, 0):
		return "it contains a NUL character"
	case len(s) > maxText:
		return fmt.Sprintf("it has %d bytes; at most %d are allowed", len(s), maxText)
	}
	return ""
}

// stream is a stream ID; empty where it is absent.
func (p *params) stream(name string) string {
	s := p.values.Get(name)
	if s == "" {
		return ""
	}
	if err := event.CheckStreamID(s); err != nil {
		p.fail(name, streamMessage(err))
		return ""
	}
	return s
}

func streamMessage(err error) string {
	return strings.TrimPrefix(err.Error(), event.ErrInvalid.Error()+": ")
}

func (p *params) oneOf(name string, allowed ...string) string {
	s := p.values.Get(name)
	if s != "" && !slices.Contains(allowed, s) {
		p.fail(name, fmt.Sprintf("%s is none of %s", clip(s), strings.Join(allowed, ", ")))
		return ""
	}
	return s
}

// manyOf is a list separated by commas.
func (p *params) manyOf(name string, allowed ...string) []string {
	var out []string
	for part := range strings.SplitSeq(p.values.Get(name), ",") {
		switch part = strings.TrimSpace(part); {
		case part == "" || slices.Contains(out, part):
		case !slices.Contains(allowed, part):
			p.fail(name, fmt.Sprintf("%s is none of %s", clip(part), strings.Join(allowed, ", ")))
		default:
			out = append(out, part)
		}
	}
	return out
}

func (p *params) limit() int {
	if !p.values.Has("limit") {
		return DefaultLimit
	}
	n, err := strconv.Atoi(p.values.Get("limit"))
	if err != nil || n < 1 || n > MaxLimit {
		p.fail("limit", fmt.Sprintf("%s is not a number from 1 to %d", clip(p.values.Get("limit")), MaxLimit))
		return DefaultLimit
	}
	return n
}

func (p *params) version(name string, least int64) event.Version {
	s := p.values.Get(name)
	if s == "" {
		return 0
	}
	n, ok := natural(s)
	if !ok || n < least {
		p.fail(name, fmt.Sprintf("%s is not a version: a whole number, at least %d", clip(s), least))
		return 0
	}
	return event.Version(n)
}

// instant is a full RFC 3339 time.
func (p *params) instant(name string) time.Time {
	s := p.values.Get(name)
	if s == "" {
		return time.Time{}
	}
	t, ok := parseInstant(s)
	if !ok {
		p.fail(name, fmt.Sprintf("%s is not a time such as 1997-01-31T12:00:00Z%s", clip(s), plusHint(s)))
	}
	return t
}

// plusHint explains the most common way to break a time: "+" means a space in a query.
func plusHint(s string) string {
	if strings.Contains(s, " ") {
		return "; write + as %2B"
	}
	return ""
}

func parseInstant(s string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339Nano, s)
	t = t.UTC()
	return t, err == nil && t.Year() >= 1 && t.Year() <= 9999
}

// date is midnight UTC of a date.
func (p *params) date(name string) time.Time {
	s := p.values.Get(name)
	if s == "" {
		return time.Time{}
	}
	t, ok := parseDate(s)
	if !ok {
		p.fail(name, fmt.Sprintf("%s is not a date such as 1997-01-31", clip(s)))
	}
	return t
}

func parseDate(s string) (time.Time, bool) {
	t, err := time.Parse(time.DateOnly, s)
	return t, err == nil && t.Year() >= 1
}

// span is a date or a time: from its start, inclusive, to its end, exclusive. A time, which read models
// keep in microseconds, lasts one.
func (p *params) span(name string) (from, before time.Time) {
	s := p.values.Get(name)
	if s == "" {
		return
	}
	if t, ok := parseDate(s); ok {
		return t, t.AddDate(0, 0, 1)
	}
	if t, ok := parseInstant(s); ok {
		t = t.Truncate(time.Microsecond)
		return t, t.Add(time.Microsecond)
	}
	p.fail(name, fmt.Sprintf("%s is neither a date such as 1997-01-31 nor a time such as 1997-01-31T12:00:00Z%s", clip(s), plusHint(s)))
	return
}

// cents is a decimal amount.
func (p *params) cents(name string) int64 {
	s := p.values.Get(name)
	if s == "" {
		return 0
	}
	whole, frac, point := strings.Cut(s, ".")
	if len(whole) == 0 || len(whole) > 12 || len(frac) > 2 || point && frac == "" || strings.Trim(whole+frac, "0123456789") != "" {
		p.fail(name, fmt.Sprintf("%s is not an amount such as 11.77, at most 12 digits before the point and 2 after it", clip(s)))
		return 0
	}
	n, _ := strconv.ParseInt(whole+(frac + "00")[:2], 10, 64) // 14 digits: it cannot fail
	return n
}
