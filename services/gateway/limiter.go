package gateway

import (
	"context"
	"time"
)

// Limiter counts what callers take of a limit.
type Limiter interface {
	// Take counts one request against the limit of key and says whether it may go on. The key names whom the limit is of and
	// what for, such as "commands user:u-1" or "login 192.0.2.7". An error says that nobody can count at present: the request is
	// refused. It is called concurrently.
	Take(ctx context.Context, key string, limit Limit) (Decision, error)
}

// Limit is how much one key may take: never more than Requests in any Window.
type Limit struct {
	// Name of the limit in the headers RateLimit and RateLimit-Policy.
	Name     string
	Requests int
	Window   time.Duration
}

// Decision is what a Limiter says of one request.
type Decision struct {
	Allowed bool
	// Limit is how many requests a window has, Remaining how many of them are left.
	Limit, Remaining int
	// Reset is after how long there are more: where nothing remains, when to ask again.
	Reset time.Duration
}
