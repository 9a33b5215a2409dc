package harness

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
)

// Ports are taken from below the range that systems give to outgoing connections, so that nobody takes one
// between its choice and its use, or while its process is being started again.
const (
	firstPort = 20_000
	lastPort  = 32_000
)

var given struct {
	sync.Mutex
	ports map[int]bool
}

// FreeAddr is a local address that nobody listens on, and that is not given out again.
func FreeAddr(t testing.TB) string {
	t.Helper()
	given.Lock()
	defer given.Unlock()
	if given.ports == nil {
		given.ports = map[int]bool{}
	}
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		if given.ports[port] {
			continue
		}
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		_ = l.Close()
		given.ports[port] = true
		return addr
	}
	t.Fatalf("no free port from %d to %d", firstPort, lastPort)
	return ""
}
