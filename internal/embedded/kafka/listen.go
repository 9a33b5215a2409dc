package kafka

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
)

// AddrInUseError says that the configured address is taken. It is a type, and not only a sentinel, so that
// whoever knows the name of the setting can tell the user what to change; it wraps syscall.EADDRINUSE.
type AddrInUseError struct {
	Addr string // as configured
}

func (e *AddrInUseError) Error() string {
	return fmt.Sprintf("address %s is already in use: stop what listens there, or choose another address", e.Addr)
}

// Unwrap lets errors.Is find syscall.EADDRINUSE.
func (e *AddrInUseError) Unwrap() error { return syscall.EADDRINUSE }

// listener is the broker's listening socket. kfake advertises the address that its listener reports, and
// "::" or "0.0.0.0" is no address to dial: Addr answers the loopback address for those.
//
// It accepts nobody before open: kfake serves from the moment it is made, and the journal is attached to
// it a moment later.
type listener struct {
	net.Listener
	advertised *net.TCPAddr
	opened     chan struct{}
	open       func() // closes opened, once
}

func listen(addr string) (*listener, error) {
	ln, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, &AddrInUseError{Addr: addr}
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	tcp := *ln.Addr().(*net.TCPAddr)
	if tcp.IP.IsUnspecified() {
		tcp.IP = net.IPv4(127, 0, 0, 1)
	}
	opened := make(chan struct{})
	return &listener{Listener: ln, advertised: &tcp, opened: opened, open: sync.OnceFunc(func() { close(opened) })}, nil
}

func (l *listener) Accept() (net.Conn, error) {
	<-l.opened
	return l.Listener.Accept()
}

func (l *listener) Close() error {
	err := l.Listener.Close()
	l.open() // Accept returns the listener's error
	return err
}

func (l *listener) Addr() net.Addr { return l.advertised }

func (l *listener) port() int { return l.advertised.Port }

// hand is kfake's listen function. kfake would bind 127.0.0.1 whatever the configured host is, so it gets
// the socket that is bound already.
func (l *listener) hand(_, _ string) (net.Listener, error) { return l, nil }
