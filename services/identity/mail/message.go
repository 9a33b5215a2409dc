package mail

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/secret"
)

// Mailer sends mail. Implementations are safe for concurrent use.
type Mailer interface {
	// Send returns once the mail is taken over by somebody who will deliver it or report that it cannot be. Errors wrap
	// event.ErrInvalid where this mail will never be taken, and event.ErrUnavailable where trying again later may help; it may
	// then have been sent all the same.
	Send(ctx context.Context, m Message) error
}

// Message is a mail of plain text to one person.
type Message struct {
	// To is an address without a name, such as ada@example.org.
	To      string
	Subject string
	// Text has lines ended by \n. It holds links that let people in: it is masked wherever it is printed.
	Text secret.Text
}

const (
	maxSubject = 200
	maxText    = 64 << 10
)

// render makes the mail's bytes: headers and a body that survives every server on the way.
func (m *Message) render(from mail.Address, now time.Time) ([]byte, error) {
	to, err := parseAddress(m.To)
	if err != nil {
		return nil, fmt.Errorf("the recipient: %w", err)
	}
	switch {
	case m.Subject == "" || len(m.Subject) > maxSubject || !utf8.ValidString(m.Subject) || strings.ContainsFunc(m.Subject, unicode.IsControl):
		return nil, fmt.Errorf("%w: a mail's subject needs 1 to %d bytes of UTF-8 without control characters", event.ErrInvalid, maxSubject)
	case !utf8.ValidString(m.Text.Reveal()) || len(m.Text.Reveal()) > maxText:
		return nil, fmt.Errorf("%w: a mail's text must be UTF-8 of at most %d bytes", event.ErrInvalid, maxText)
	}
	_, domain, _ := strings.Cut(from.Address, "@")
	var b bytes.Buffer
	for _, h := range [][2]string{
		{"From", from.String()}, {"To", to.String()}, {"Subject", mime.QEncoding.Encode("utf-8", m.Subject)},
		{"Date", now.UTC().Format(time.RFC1123Z)}, {"Message-ID", "<" + random() + "@" + domain + ">"},
		{"MIME-Version", "1.0"}, {"Content-Type", "text/plain; charset=utf-8"}, {"Content-Transfer-Encoding", "quoted-printable"},
		{"Auto-Submitted", "auto-generated"}, // nobody's holiday answers it
	} {
		b.WriteString(h[0] + ": " + h[1] + "\r\n")
	}
	b.WriteString("\r\n")
	w := quotedprintable.NewWriter(&b)
	if _, err := w.Write([]byte(strings.ReplaceAll(m.Text.Reveal(), "\n", "\r\n"))); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func random() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// parseAddress takes an address without a name. Its error wraps event.ErrInvalid and does not quote it.
func parseAddress(s string) (mail.Address, error) {
	a, err := mail.ParseAddress(s)
	if err != nil || a.Name != "" || a.Address != s || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }) {
		return mail.Address{}, fmt.Errorf("%w: it must be an address such as ada@example.org, without a name or spaces", event.ErrInvalid)
	}
	return *a, nil
}
