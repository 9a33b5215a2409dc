package httpserver

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
)

// Certificate is a certificate in files that are replaced while it is in use. It is safe for concurrent use. Keep Run going.
type Certificate struct {
	certFile, keyFile string
	every             time.Duration
	log               *slog.Logger
	current           atomic.Pointer[tls.Certificate]
	seen              [2]stamp
}

// stamp tells one version of a file from another.
type stamp struct {
	modified time.Time
	size     int64
}

// OpenCertificate reads a certificate with its chain, and its key, both as PEM. The files are looked at every so often; 0 is 10 s.
// Its error wraps event.ErrConfig.
func OpenCertificate(certFile, keyFile string, every time.Duration, log *slog.Logger) (*Certificate, error) {
	if every == 0 {
		every = 10 * time.Second
	}
	c := &Certificate{certFile: certFile, keyFile: keyFile, every: every, log: log}
	if err := c.read(); err != nil {
		return nil, fmt.Errorf("%w: TLS certificate: %w", event.ErrConfig, err)
	}
	return c, nil
}

// Get is for Config.Certificate.
func (c *Certificate) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.current.Load(), nil
}

// Run reads the files again when they have changed, until the context ends. Where they are no certificate and its key, as when only
// one has been replaced yet, the last one stays in use.
func (c *Certificate) Run(ctx context.Context) error {
	tick := time.NewTicker(c.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if c.stamps() == c.seen {
			continue
		}
		if err := c.read(); err != nil {
			c.log.Warn("the TLS certificate has changed and cannot be used; the last one stays", "error", err)
			continue
		}
		c.log.Info("the TLS certificate has been read again")
	}
}

func (c *Certificate) read() error {
	stamps := c.stamps() // before: a change while it is read is a change
	cert, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return err
	}
	c.current.Store(&cert)
	c.seen = stamps
	return nil
}

func (c *Certificate) stamps() (out [2]stamp) {
	for i, path := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(path); err == nil {
			out[i] = stamp{info.ModTime(), info.Size()}
		}
	}
	return out
}
