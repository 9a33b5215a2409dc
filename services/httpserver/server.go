// Package httpserver runs an http.Handler with bounds on time and size, and stops it without cutting off
// requests that are under way.
package httpserver

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
)

// Config configures a Server. Zero durations mean the defaults; they must not be negative.
type Config struct {
	// Handler answers. Required.
	Handler http.Handler
	// Addr is host:port; port 0 takes a free one. Required.
	Addr string
	// Flag is the flag that sets Addr, for errors, such as "--http".
	Flag string
	// HeaderTimeout bounds the time to read a request's header; default 5 s.
	HeaderTimeout time.Duration
	// ReadTimeout bounds the time to read a whole request; default 30 s.
	ReadTimeout time.Duration
	// WriteTimeout bounds the time from the end of a request's header to the end of its answer, so it
	// must be longer than the handler may wait; default 120 s.
	WriteTimeout time.Duration
	// IdleTimeout is how long a connection is kept for a next request; default 120 s.
	IdleTimeout time.Duration
	// Certificate gives the certificate for TLS, with HTTP/2; nil serves plain HTTP. *Certificate has one.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// PlainHTTP2 takes HTTP/2 without TLS, too, where a client begins with it (h2c).
	PlainHTTP2 bool
	// Grace is how long requests under way may go on once the server is to stop; default 15 s. Then
	// their contexts end.
	Grace time.Duration
	// Logger; nil is slog.Default().
	Logger *slog.Logger
}

const (
	maxHeader = 32 << 10
	// lastWords is what a request has to answer after its context has ended.
	lastWords = 2 * time.Second
)

func (c *Config) validate() error {
	if c.Handler == nil || c.Addr == "" {
		return fmt.Errorf("%w: HTTP server: Handler and Addr are required", event.ErrConfig)
	}
	for _, d := range []struct {
		name   string
		value  *time.Duration
		preset time.Duration
	}{
		{"HeaderTimeout", &c.HeaderTimeout, 5 * time.Second}, {"ReadTimeout", &c.ReadTimeout, 30 * time.Second},
		{"WriteTimeout", &c.WriteTimeout, 120 * time.Second}, {"IdleTimeout", &c.IdleTimeout, 120 * time.Second}, {"Grace", &c.Grace, 15 * time.Second},
	} {
		if *d.value < 0 {
			return fmt.Errorf("%w: HTTP server: %s is %v; it must not be negative", event.ErrConfig, d.name, *d.value)
		}
		*d.value = cmp.Or(*d.value, d.preset)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return nil
}

// Server listens from Listen on and answers while Run runs.
type Server struct {
	cfg      Config
	listener net.Listener
}

// Listen takes the address. Its error wraps event.ErrConfig and names the address and the flag to change.
func Listen(ctx context.Context, cfg Config) (*Server, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.Addr)
	if err != nil {
		hint := ""
		if cfg.Flag != "" {
			hint = "; choose another address with " + cfg.Flag
		}
		if errors.Is(err, syscall.EADDRINUSE) {
			return nil, fmt.Errorf("%w: the address %s is taken by another program%s", event.ErrConfig, cfg.Addr, hint)
		}
		return nil, fmt.Errorf("%w: listen on %s: %w%s", event.ErrConfig, cfg.Addr, err, hint)
	}
	return &Server{cfg: cfg, listener: l}, nil
}

// Addr is where the server listens, with the port that it got.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close gives the address up where Run is never called.
func (s *Server) Close() error { return s.listener.Close() }

// Run answers requests until the context ends. Then it takes no more, lets those under way finish
// within Grace, and returns nil.
func (s *Server) Run(ctx context.Context) error {
	// Requests outlive ctx: they end with it only after the grace.
	base, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	srv := &http.Server{
		Handler: s.cfg.Handler, ReadHeaderTimeout: s.cfg.HeaderTimeout, ReadTimeout: s.cfg.ReadTimeout, WriteTimeout: s.cfg.WriteTimeout,
		IdleTimeout: s.cfg.IdleTimeout, MaxHeaderBytes: maxHeader, BaseContext: func(net.Listener) context.Context { return base },
		ErrorLog: slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelDebug), // what clients break, they are told
	}
	if s.cfg.PlainHTTP2 {
		srv.Protocols = new(http.Protocols)
		srv.Protocols.SetHTTP1(true)
		srv.Protocols.SetHTTP2(true)
		srv.Protocols.SetUnencryptedHTTP2(true)
	}
	served := make(chan error, 1)
	go func() {
		if s.cfg.Certificate == nil {
			served <- srv.Serve(s.listener)
			return
		}
		srv.TLSConfig = &tls.Config{GetCertificate: s.cfg.Certificate, MinVersion: tls.VersionTLS12}
		served <- srv.ServeTLS(s.listener, "", "")
	}()
	select {
	case err := <-served:
		return fmt.Errorf("serve HTTP on %s: %w", s.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(base, s.cfg.Grace)
	defer cancel()
	err := srv.Shutdown(grace)
	if errors.Is(err, context.DeadlineExceeded) {
		s.cfg.Logger.Warn("requests are under way longer than the grace: they are ended", "grace", s.cfg.Grace)
		end()
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
		defer cancel()
		if err = srv.Shutdown(last); err != nil {
			err = srv.Close()
		}
	}
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}
