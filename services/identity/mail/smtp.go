package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/secret"
)

// Encryption says how the connection to the SMTP server is protected.
type Encryption string

// The kinds of encryption. StartTLS is the default, and refuses a server without it.
const (
	StartTLS Encryption = "starttls"
	// ImplicitTLS begins with the handshake (port 465).
	ImplicitTLS Encryption = "tls"
	// Plain is only for a server on this host.
	Plain Encryption = "none"
)

// SMTPConfig says which server takes the mail.
type SMTPConfig struct {
	// Addr is host:port, such as mail.example.org:587. Required.
	Addr string
	// From is the sender, with a name or not. Required.
	From string
	// Username and Password log in; without a name nobody does.
	Username string
	Password secret.Text
	// Encryption defaults to StartTLS.
	Encryption Encryption
	// Timeout of a whole mail (default 30 seconds); a context that ends earlier counts.
	Timeout time.Duration
	// TLS is added to what connects; nil is what is usual.
	TLS *tls.Config
}

// SMTP hands mails to a server, one connection each. It is safe for concurrent use.
type SMTP struct {
	cfg  SMTPConfig
	host string
	from mail.Address
	now  func() time.Time
}

// NewSMTP checks the configuration and connects to nothing yet. Errors wrap event.ErrConfig.
func NewSMTP(cfg SMTPConfig) (*SMTP, error) {
	host, _, err := net.SplitHostPort(cfg.Addr)
	if err != nil || host == "" {
		return nil, fmt.Errorf("%w: the SMTP server is %q; it must be host:port, such as mail.example.org:587", event.ErrConfig, cfg.Addr)
	}
	from, err := mail.ParseAddress(cfg.From)
	if err != nil {
		return nil, fmt.Errorf("%w: the sender of mails must be an address such as Shop <shop@example.org>", event.ErrConfig)
	}
	if cfg.Encryption == "" {
		cfg.Encryption = StartTLS
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 30 * time.Second
	}
	switch {
	case cfg.Timeout < 0:
		return nil, fmt.Errorf("%w: the timeout of a mail is %v; it must be positive", event.ErrConfig, cfg.Timeout)
	case cfg.Encryption == Plain && host != "localhost" && !isLoopback(host):
		return nil, fmt.Errorf("%w: mails hold links that let people in: without encryption they are sent to this host only, not to %s", event.ErrConfig, host)
	case cfg.Encryption != Plain && cfg.Encryption != StartTLS && cfg.Encryption != ImplicitTLS:
		return nil, fmt.Errorf("%w: the encryption of SMTP is %q; it must be starttls, tls or none", event.ErrConfig, cfg.Encryption)
	}
	return &SMTP{cfg: cfg, host: host, from: *from, now: time.Now}, nil
}

func isLoopback(host string) bool { ip := net.ParseIP(host); return ip != nil && ip.IsLoopback() }

// Send hands the mail to the server. A mail that the server refuses for good (5xx to the recipient or the text) wraps
// event.ErrInvalid, everything else event.ErrUnavailable, or the context's error.
func (s *SMTP) Send(ctx context.Context, m Message) error {
	text, err := m.render(s.from, s.now())
	if err != nil {
		return fmt.Errorf("send a mail: %w", err)
	}
	limited, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	err = s.send(limited, m.To, text)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("send a mail: %w", ctx.Err())
	case errors.Is(err, event.ErrInvalid):
		return fmt.Errorf("send a mail by %s: %w", s.cfg.Addr, err)
	}
	return fmt.Errorf("send a mail: %w: SMTP server %s: %w", event.ErrUnavailable, s.cfg.Addr, err)
}

func (s *SMTP) send(ctx context.Context, to string, text []byte) error {
	tcp, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.cfg.Addr)
	if err != nil {
		return err
	}
	defer func() { _ = tcp.Close() }()
	// net/smtp knows no contexts: when this one ends, what is being read or written fails.
	stop := context.AfterFunc(ctx, func() { _ = tcp.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	conn := tcp
	config := &tls.Config{}
	if s.cfg.TLS != nil {
		config = s.cfg.TLS.Clone()
	}
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	config.ServerName = s.host
	if s.cfg.Encryption == ImplicitTLS {
		conn = tls.Client(conn, config)
	}
	c, err := smtp.NewClient(conn, s.host)
	if err != nil {
		return err
	}
	if s.cfg.Encryption == StartTLS {
		if ok, _ := c.Extension("STARTTLS"); !ok {
			return errors.New("it does not offer STARTTLS; without it nothing is sent")
		}
		if err := c.StartTLS(config); err != nil {
			return fmt.Errorf("STARTTLS: %w", err)
		}
	}
	if s.cfg.Username != "" {
		if err := c.Auth(smtp.PlainAuth("", s.cfg.Username, s.cfg.Password.Reveal(), s.host)); err != nil {
			return fmt.Errorf("log in: %w", err)
		}
	}
	if err := c.Mail(s.from.Address); err != nil {
		return fmt.Errorf("sender: %w", err)
	}
	if err := c.Rcpt(to); err != nil {
		return fmt.Errorf("recipient: %w", forGood(err))
	}
	w, err := c.Data()
	if err != nil {
		return fmt.Errorf("text: %w", forGood(err))
	}
	if _, err := w.Write(text); err != nil {
		return fmt.Errorf("text: %w", err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("text: %w", forGood(err))
	}
	_ = c.Quit() // the mail is taken
	return nil
}

// forGood marks what the server will never take.
func forGood(err error) error {
	var answer *textproto.Error
	if errors.As(err, &answer) && answer.Code >= 500 {
		return fmt.Errorf("%w: %w", event.ErrInvalid, err)
	}
	return err
}
