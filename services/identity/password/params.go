package password

import (
	"fmt"

	"github.com/cqrsflow/cqrsflow/event"
)

// Params are the cost of a hash. They are stored with it, so they can be raised at any time.
type Params struct {
	// Time is the number of passes over the memory.
	Time uint32
	// Memory in KiB.
	Memory uint32
	// Threads is the number of lanes.
	Threads uint8
}

// Default is the least that OWASP recommends, and what is used where nothing is configured: 19 MiB, two passes, one lane.
// It costs about 30 ms of one core.
var Default = Params{Time: 2, Memory: 19 << 10, Threads: 1}

// What a stored hash may ask for: a damaged or planted one must not take all memory or minutes.
const (
	maxTime    = 64
	maxMemory  = 1 << 20 // KiB: 1 GiB
	maxThreads = 64
)

// Check reports parameters that are weaker than Default or beyond what is sensible; it wraps event.ErrConfig.
func (p Params) Check() error {
	if p.Time < Default.Time || p.Memory < Default.Memory || p.Threads < Default.Threads || !p.sane() {
		return fmt.Errorf("%w: argon2id with t=%d, m=%d KiB, p=%d: t must be %d to %d, m %d to %d KiB, p %d to %d", event.ErrConfig,
			p.Time, p.Memory, p.Threads, Default.Time, maxTime, Default.Memory, maxMemory, Default.Threads, maxThreads)
	}
	return nil
}

func (p Params) sane() bool {
	return p.Time >= 1 && p.Time <= maxTime && p.Threads >= 1 && p.Threads <= maxThreads &&
		p.Memory >= 8*uint32(p.Threads) && p.Memory <= maxMemory
}
