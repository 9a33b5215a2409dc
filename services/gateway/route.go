package gateway

import (
	"net/http"
	"time"
)

// Route is an operation, or several that are treated alike: where they are, who may ask for them, and who answers.
type Route struct {
	// Methods are those that the route takes. GET takes HEAD, too.
	Methods []string
	// Path has segments in braces for variables, and as its last segment may have {name...} for all that follows.
	Path string
	// Backend is the name of the backend that answers. Empty where Parts do.
	Backend string
	// Parts are answers that make up this one, by their names in it.
	Parts map[string]Part
	// Open routes need no caller. All others need one, and where there are Roles, one who has any of them.
	Open  bool
	Roles []string
	// Timeout is from the request's header to the end of the answer. Default 20 s.
	Timeout time.Duration
	// Waits adds what the request's Prefer: wait asks for to the timeout: 10 s without it, 60 s at most.
	Waits bool
	// Retries is how often a request that changes nothing (GET, HEAD, OPTIONS) is sent again where a backend's address did not
	// answer. Others never are.
	Retries int
	// MaxBody bounds the body of a request, in bytes. Default 1 MiB.
	MaxBody int64
	// Limits are those that a request counts against.
	Limits []RouteLimit
	// Audit logs every request for the audit, and not only those that are refused.
	Audit bool
	// Command gives each request an Idempotency-Key that has none, so that its outcome can be asked for even if no answer comes.
	Command bool
	// EncodedSlash takes %2F inside a segment.
	EncodedSlash bool

	// where says in which file and line it stands; builtin that it is one of Defaults.
	where   string
	builtin bool
}

// Part is a piece of a composed answer: what a GET of Target answers.
type Part struct {
	// Target is a path with a query. {name} is a variable of the route's path; {part.member} is what another part has answered,
	// which is then waited for; {part.member-10} is a number less 10, but not less than 0.
	Target string
	// Required: without it there is no answer.
	Required bool
	// Timeout of this part; the route's where it is 0.
	Timeout time.Duration
	// Pick is the member of the part's answer to show, such as items; all of it where it is empty.
	Pick string
	// Without leaves out of a picked list what is named here: {"order.id": "{id}"}.
	Without map[string]string
}

// RouteLimit is a limit and whom it is of.
type RouteLimit struct {
	Limit
	// By is ByPrincipal, ByAddress or ByRoute.
	By string
}

// Whom a limit is of. By principal, who asks without a name counts by the address.
const (
	ByPrincipal = "principal"
	ByAddress   = "address"
	ByRoute     = "route"
)

// Backend is a server, or several alike, that answers.
type Backend struct {
	// Name by which routes know it.
	Name string
	// Handler answers in this process. Either it or URLs.
	Handler http.Handler
	// URLs are base URLs of servers that are all alike, such as http://10.0.0.7:8080.
	URLs []string
	// MaxInFlight bounds the requests under way; what is more is refused at once. Default 512.
	MaxInFlight int
	// Breaker says when an address is left alone.
	Breaker Breaker
	// Health says how an address is asked whether it is ready; without a Port none is.
	Health Health
}

// Breaker leaves an address alone that has failed: did not answer, or answered that something behind it does not.
type Breaker struct {
	// Failures in a row after which it is left alone. Default 5.
	Failures int
	// Rest is for how long; then one request tries it. Default 2 s.
	Rest time.Duration
}

// Health asks http://<host>:<Port><Path> of each address.
type Health struct {
	// Port is that of operations, such as 9080; 0 asks nobody.
	Port int
	// Path answers 2xx where the address is ready. Default /readyz.
	Path string
	// Every is how often, Timeout how long an answer may take. Defaults 2 s and 1 s.
	Every, Timeout time.Duration
}

// Defaults of what is left out.
const (
	DefaultTimeout     = 20 * time.Second
	DefaultMaxBody     = 1 << 20
	DefaultMaxInFlight = 512
	defaultFailures    = 5
	defaultRest        = 2 * time.Second
	defaultHealthEvery = 2 * time.Second
	defaultHealthWait  = time.Second
	maxRetries         = 3
)

// safe reports whether a method changes nothing.
func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}
