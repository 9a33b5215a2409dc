package api

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
)

// How long a request waits for an outcome or for a read model.
const (
	DefaultWait = 10 * time.Second
	MaxWait     = 60 * time.Second
	// minWait lets "wait=0" still find what is there already.
	minWait = 100 * time.Millisecond
)

const maxPositions = 1024

// one returns a header that may be there once.
func one(h http.Header, name string) (string, bool, error) {
	values := h.Values(name)
	switch len(values) {
	case 0:
		return "", false, nil
	case 1:
		return strings.TrimSpace(values[0]), true, nil
	}
	return "", false, malformed(name, "it may be given once")
}

// preferences are what Prefer (RFC 7240) asks for. Others than these are ignored, as the RFC says.
type preferences struct {
	wait  time.Duration
	async bool
	// waitSet tells "wait=10" from the default.
	waitSet bool
}

func preferred(h http.Header) (preferences, error) {
	p := preferences{wait: DefaultWait}
	for _, part := range list(h.Values("Prefer")) {
		part, _, _ = strings.Cut(part, ";")
		name, value, _ := strings.Cut(part, "=")
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "respond-async":
			p.async = true
		case "wait":
			if p.waitSet {
				continue // the first one counts
			}
			value = strings.Trim(strings.TrimSpace(value), `"`)
			seconds, err := strconv.ParseUint(value, 10, 31)
			if err != nil {
				return p, malformed("Prefer", fmt.Sprintf("wait is %s; it must be a whole number of seconds, 0 to %d", clip(value), MaxWait/time.Second))
			}
			p.waitSet = true
			p.wait = min(time.Duration(seconds)*time.Second, MaxWait)
		}
	}
	return p, nil
}

// patience is how long to wait, never nothing at all.
func (p preferences) patience() time.Duration { return max(p.wait, minWait) }

// expectedVersion reads If-Match and If-None-Match of a command.
func expectedVersion(h http.Header) (event.Version, error) {
	match, has, err := one(h, "If-Match")
	if err != nil {
		return 0, err
	}
	none, hasNone, err := one(h, "If-None-Match")
	switch {
	case err != nil:
		return 0, err
	case has && hasNone:
		return 0, malformed("If-Match", "it cannot be given together with If-None-Match")
	case hasNone && none != "*":
		return 0, malformed("If-None-Match", `it must be *, for an aggregate that must not exist`)
	case hasNone:
		return 0, nil
	case !has:
		return event.AnyVersion, nil
	}
	if len(match) > 2 && match[0] == '"' && match[len(match)-1] == '"' {
		if v, ok := natural(match[1 : len(match)-1]); ok {
			return event.Version(v), nil
		}
	}
	return 0, malformed("If-Match", `it must be a version in quotes such as "7"`)
}

// positions reads Cqrs-After. A position that can never be reached is refused: waiting for it would only end in time.
func (a *API) positions(h http.Header) ([]event.Position, error) {
	ps, err := event.ParsePositions(strings.Join(h.Values("Cqrs-After"), ","))
	switch {
	case err != nil:
		return nil, malformed("Cqrs-After", "it must be positions such as order/3@1024, separated by commas")
	case len(ps) > maxPositions:
		return nil, malformed("Cqrs-After", fmt.Sprintf("it has %d positions; at most %d are allowed", len(ps), maxPositions))
	}
	for _, p := range ps {
		if !slices.ContainsFunc(a.cfg.Aggregates, func(t *decider.Type) bool { return t.Name == p.Aggregate }) {
			return nil, malformed("Cqrs-After", "there is no aggregate "+clip(p.Aggregate))
		}
		if a.cfg.Partitions == nil {
			continue
		}
		if n := a.cfg.Partitions(p.Aggregate); p.Partition >= n {
			return nil, malformed("Cqrs-After", fmt.Sprintf("%s has no partition %d; there are %d, from 0", p.Aggregate, p.Partition, n))
		}
	}
	return ps, nil
}

// natural is a whole number without sign.
func natural(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// list splits headers whose values are lists separated by commas.
func list(values []string) []string {
	var out []string
	for _, v := range values {
		for part := range strings.SplitSeq(v, ",") {
			if part = strings.TrimSpace(part); part != "" {
				out = append(out, part)
			}
		}
	}
	return out
}

// notModified reports whether If-None-Match names the entity tag; it compares weakly (RFC 9110, 13.1.2).
func notModified(h http.Header, etag string) bool {
	for _, tag := range list(h.Values("If-None-Match")) {
		if tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
			return true
		}
	}
	return false
}

func versionTag(v event.Version) string { return `"` + strconv.FormatInt(int64(v), 10) + `"` }

// commandPath is where the outcome of a command is.
func commandPath(plural string, stream event.StreamID, commandID string) string {
	return "/v1/" + plural + "/" + url.PathEscape(string(stream)) + "/commands/" + url.PathEscape(commandID)
}

// clip quotes text of a caller for an error, shortened.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		return strconv.Quote(strings.ToValidUTF8(s[:most], "") + "…")
	}
	return strconv.Quote(s)
}
