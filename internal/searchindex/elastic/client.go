package elastic

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/elastic/go-elasticsearch/v8"

	"github.com/cqrsflow/cqrsflow/event"
)

// Setting is what an operator sets to reach another Elasticsearch; errors name it.
const Setting = "CQRSFLOW_ELASTICSEARCH_URL"

// Config says which Elasticsearch to use, and how.
type Config struct {
	// URLs are the base URLs of nodes. Required.
	URLs []string
	// APIKey, encoded as Elasticsearch gives it out, or Username and Password. Optional.
	APIKey, Username, Password string
	// CA is the PEM of the certificate authorities to trust; empty trusts the system's.
	CA []byte
	// Prefix starts the names of indexes and aliases; default "cqrsflow".
	Prefix string
	// Shards of a new index; default 1, at most 1024. Facets are exact with one shard only.
	Shards int
	// Timeout of one request; default 30 s.
	Timeout time.Duration
}

var prefixPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,80}$`)

func (c Config) withDefaults() (Config, error) {
	if c.Prefix == "" {
		c.Prefix = "cqrsflow"
	}
	if c.Shards == 0 {
		c.Shards = 1
	}
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	bad := func(field string, value any, bound string) (Config, error) {
		return c, fmt.Errorf("%w: Elasticsearch: %s is %v; it must be %s", event.ErrConfig, field, value, bound)
	}
	switch {
	case len(c.URLs) == 0:
		return bad("URLs", "empty", "the base URLs of nodes ("+Setting+")")
	case !prefixPattern.MatchString(c.Prefix):
		return bad("Prefix", c.Prefix, "lower case letters, digits, dots, dashes and underscores")
	case c.Shards < 1 || c.Shards > 1024:
		return bad("Shards", c.Shards, "1 to 1024")
	case c.Timeout < 0:
		return bad("Timeout", c.Timeout, "positive")
	}
	for _, u := range c.URLs {
		parsed, err := url.Parse(u)
		if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
			return bad("URLs", redact(u), "http or https URLs ("+Setting+")")
		}
	}
	return c, nil
}

// Client is a connection to Elasticsearch. It is safe for concurrent use.
type Client struct {
	Names
	cfg    Config
	es     *elasticsearch.BaseClient
	server string
	pool   *http.Transport
}

// Connect makes a client, of version 1 of the read model. It does not talk to the server yet. Its error
// wraps event.ErrConfig.
func Connect(cfg Config) (*Client, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: 5 * time.Second,
		MaxIdleConnsPerHost: 32, // a worker a partition, and queries
		IdleConnTimeout:     90 * time.Second,
	}
	if len(cfg.CA) > 0 { // here and not by the library, whose copy of the transport Close would not reach
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(cfg.CA) {
			return nil, fmt.Errorf("%w: Elasticsearch: CA holds no certificate in PEM form (elasticsearch.ca_file)", event.ErrConfig)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	es, err := elasticsearch.NewBaseClient(elasticsearch.Config{
		Addresses: cfg.URLs, APIKey: cfg.APIKey, Username: cfg.Username, Password: cfg.Password,
		Transport: transport,
		// Another node may answer where one does not; what a node says is this package's to interpret.
		DisableRetry: len(cfg.URLs) == 1, MaxRetries: len(cfg.URLs) - 1, RetryOnStatus: []int{http.StatusBadGateway},
	})
	if err != nil {
		return nil, fmt.Errorf("%w: Elasticsearch: %w", event.ErrConfig, err)
	}
	servers := make([]string, len(cfg.URLs))
	for i, u := range cfg.URLs {
		servers[i] = redact(u)
	}
	return &Client{Names: namesOf(cfg.Prefix, 1), cfg: cfg, es: es, server: strings.Join(servers, ", "), pool: transport}, nil
}

// Close gives up idle connections.
func (c *Client) Close() { c.pool.CloseIdleConnections() }

// redact takes user and password off a URL.
func redact(u string) string {
	parsed, err := url.Parse(u)
	if err != nil {
		return "not a URL"
	}
	parsed.User = nil
	return parsed.String()
}

// The content types of bodies.
const (
	JSON   = "application/json"
	NDJSON = "application/x-ndjson"
)

// Do makes a request and decodes the answer into out, unless out is nil. Its error is a *Refused for an
// answer that says no, or event.ErrUnavailable where the server cannot be reached, is overloaded, lets
// nobody in or blocks writing: the same request may succeed later.
func (c *Client) Do(ctx context.Context, method, path, contentType string, body []byte, out any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.cfg.Timeout, errTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if len(body) > 0 {
		req.Header.Set("Content-Type", contentType)
	}
	req.Header.Set("Accept", JSON)
	res, err := c.es.Perform(req)
	if err != nil {
		return c.unreachable(ctx, err)
	}
	defer func() { _ = res.Body.Close() }() // it has been read, or failed to be
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return c.unreachable(ctx, err)
	}
	if res.StatusCode >= 300 {
		return c.refused(res.StatusCode, answer)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%w: Elasticsearch at %s: what it answers to %s %s is not understood: %w", event.ErrUnavailable, c.server, method, path, err)
	}
	return nil
}

var errTimeout = errors.New("it does not answer")

func (c *Client) unreachable(ctx context.Context, err error) error {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errTimeout):
		err = fmt.Errorf("%w within %v", errTimeout, c.cfg.Timeout)
	case cause != nil:
		return fmt.Errorf("ask Elasticsearch: %w", cause)
	}
	return fmt.Errorf("%w: Elasticsearch at %s cannot be reached (set %s to use another): %w", event.ErrUnavailable, c.server, Setting, err)
}

// Refused is an answer that says no.
type Refused struct {
	Status int
	// Type is Elasticsearch's name of the reason, such as index_not_found_exception.
	Type, Reason string
}

// Error says why.
func (r *Refused) Error() string {
	return fmt.Sprintf("Elasticsearch refuses (%d %s): %s", r.Status, r.Type, r.Reason)
}

func (c *Client) refused(status int, answer []byte) error {
	var body struct {
		Error json.RawMessage `json:"error"`
	}
	r := &Refused{Status: status}
	if json.Unmarshal(answer, &body) == nil {
		var e ItemError
		if json.Unmarshal(body.Error, &e) == nil {
			r.Type, r.Reason = e.Type, e.reason()
		}
	}
	if r.Type == "" {
		r.Reason = strings.ToValidUTF8(string(answer[:min(len(answer), 200)]), "")
	}
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusTooManyRequests, status >= 500:
		return fmt.Errorf("%w: Elasticsearch at %s: %w", event.ErrUnavailable, c.server, r)
	}
	return r
}

// ItemError is an error inside an answer.
type ItemError struct {
	Type     string `json:"type"`
	Reason   string `json:"reason"`
	CausedBy *struct {
		Reason string `json:"reason"`
	} `json:"caused_by"`
}

func (e *ItemError) reason() string {
	if e == nil {
		return "no reason given"
	}
	if e.CausedBy != nil && e.CausedBy.Reason != "" {
		return e.Reason + ": " + e.CausedBy.Reason
	}
	return e.Reason
}

// Error says why.
func (e *ItemError) Error() string {
	if e == nil {
		return e.reason()
	}
	return e.Type + ": " + e.reason()
}

// IsStatus reports whether err is an answer with that status.
func IsStatus(err error, status int) bool {
	var r *Refused
	return errors.As(err, &r) && r.Status == status
}

// IsType reports whether err is an answer that gives that reason.
func IsType(err error, typ string) bool {
	var r *Refused
	return errors.As(err, &r) && r.Type == typ
}
