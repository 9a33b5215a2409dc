package mail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const sender = "Käthes Shop <shop@example.org>"

var hello = Message{To: "ada@example.org", Subject: "Grüße", Text: secret.Of("Zeile\n.\n..zwei é\n" + strings.Repeat("lang ", 50) + "\nhttps://shop.example/x#token=a=b\n")}

func client(t *testing.T, s *smtpServer, change func(*SMTPConfig)) *SMTP {
	t.Helper()
	cfg := SMTPConfig{Addr: s.addr, From: sender, Username: "shop", Password: secret.Of("hunter2"), TLS: s.client}
	if change != nil {
		change(&cfg)
	}
	c, err := NewSMTP(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// check reads a mail as its recipient's program does, and compares it with what was sent.
func check(t *testing.T, raw string, want Message) {
	t.Helper()
	for line := range strings.SplitSeq(raw, "\r\n") {
		if len(line) > 998 || strings.ContainsFunc(line, func(r rune) bool { return r > 126 || r == '\n' }) {
			t.Errorf("a line no server must take: %q", line)
		}
	}
	m, err := mail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil || subject != want.Subject {
		t.Errorf("subject %q, %v", subject, err)
	}
	from, err := m.Header.AddressList("From")
	if err != nil || len(from) != 1 || from[0].Address != "shop@example.org" || from[0].Name != "Käthes Shop" {
		t.Errorf("from %v, %v", from, err)
	}
	to, err := m.Header.AddressList("To")
	if err != nil || len(to) != 1 || to[0].Address != want.To {
		t.Errorf("to %v, %v", to, err)
	}
	if _, err := m.Header.Date(); err != nil || !regexp.MustCompile(`^<[\w-]{22}@example\.org>$`).MatchString(m.Header.Get("Message-Id")) || m.Header.Get("Auto-Submitted") != "auto-generated" {
		t.Errorf("headers %v, %v", m.Header, err)
	}
	text, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil || strings.ReplaceAll(string(text), "\r\n", "\n") != want.Text.Reveal() {
		t.Errorf("text %q, %v", text, err)
	}
}

func TestSMTP(t *testing.T) {
	for _, encryption := range []Encryption{"", StartTLS, ImplicitTLS} {
		s := startSMTP(t, func(s *smtpServer) { s.implicit = encryption == ImplicitTLS })
		c := client(t, s, func(cfg *SMTPConfig) { cfg.Encryption = encryption })
		if err := c.Send(t.Context(), hello); err != nil {
			t.Fatalf("%q: %v", encryption, err)
		}
		mails, plain := s.seen()
		if len(mails) != 1 {
			t.Fatalf("%d mails", len(mails))
		}
		m := mails[0]
		if !strings.HasPrefix(m.from, "FROM:<shop@example.org>") || m.to != "TO:<ada@example.org>" || m.login != "\x00shop\x00hunter2" {
			t.Errorf("%+v", m)
		}
		check(t, m.data, hello)
		if strings.Contains(plain, "AUTH") || strings.Contains(plain, "MAIL") {
			t.Errorf("unencrypted: %s", plain)
		}
	}
}

func TestSMTPWithoutEncryptionIsForThisHost(t *testing.T) {
	s := startSMTP(t, func(s *smtpServer) { s.noStartTLS = true })
	c := client(t, s, func(cfg *SMTPConfig) { cfg.Encryption = Plain; cfg.Username = "" })
	if err := c.Send(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
	// Where STARTTLS is wanted and not offered, perhaps because somebody took the offer away, nothing is sent.
	err := client(t, s, nil).Send(t.Context(), hello)
	if !errors.Is(err, event.ErrUnavailable) || !strings.Contains(err.Error(), "STARTTLS") {
		t.Error(err)
	}
	mails, plain := s.seen()
	if len(mails) != 1 || strings.Contains(plain, "AUTH") {
		t.Errorf("%d mails; unencrypted: %s", len(mails), plain)
	}
}

func TestSMTPServerThatNobodyKnows(t *testing.T) {
	s := startSMTP(t, nil)
	err := client(t, s, func(cfg *SMTPConfig) { cfg.TLS = nil }).Send(t.Context(), hello)
	if !errors.Is(err, event.ErrUnavailable) {
		t.Error(err)
	}
	if mails, plain := s.seen(); len(mails) != 0 || strings.Contains(plain, "AUTH") {
		t.Errorf("%d mails; %s", len(mails), plain)
	}
}

func TestSMTPRefusals(t *testing.T) {
	for word, tc := range map[string]struct {
		answer string
		want   error
	}{
		"MAIL": {"451 later", event.ErrUnavailable},
		"AUTH": {"535 no", event.ErrUnavailable}, // the configuration is wrong, not the mail
		"RCPT": {"550 nobody", event.ErrInvalid},
		"DATA": {"451 later", event.ErrUnavailable},
		".":    {"554 spam", event.ErrInvalid},
	} {
		s := startSMTP(t, func(s *smtpServer) { s.answers = map[string]string{word: tc.answer} })
		err := client(t, s, nil).Send(t.Context(), hello)
		if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.answer[:3]) || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "token") {
			t.Errorf("%s: %v", word, err)
		}
	}
	s := startSMTP(t, func(s *smtpServer) { s.answers = map[string]string{"RCPT": "450 later"} })
	if err := client(t, s, nil).Send(t.Context(), hello); !errors.Is(err, event.ErrUnavailable) {
		t.Error(err)
	}
	s = startSMTP(t, func(s *smtpServer) { s.answers = map[string]string{"QUIT": "500 what?"} })
	if err := client(t, s, nil).Send(t.Context(), hello); err != nil {
		t.Errorf("a mail that was taken: %v", err)
	}
}

func TestSMTPServerThatDoesNotAnswer(t *testing.T) {
	silent := func(s *smtpServer) { s.answers = map[string]string{"RCPT": ""} }
	s := startSMTP(t, silent)
	if err := client(t, s, func(cfg *SMTPConfig) { cfg.Timeout = 300 * time.Millisecond }).Send(t.Context(), hello); !errors.Is(err, event.ErrUnavailable) {
		t.Error(err)
	}
	s = startSMTP(t, silent)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- client(t, s, nil).Send(ctx, hello) }()
	<-s.silent
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || event.SafeToRetry(err) {
		t.Error(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	_ = l.Close()
	if err := client(t, s, nil).Send(t.Context(), hello); !errors.Is(err, event.ErrUnavailable) {
		t.Error(err)
	}
}

func TestSMTPConfiguration(t *testing.T) {
	for _, cfg := range []SMTPConfig{
		{From: sender}, {Addr: "mail.example.org", From: sender}, {Addr: "mail.example.org:587"}, {Addr: "mail.example.org:587", From: "nobody"}, {Addr: "mail.example.org:587", From: "a@b\r\nBcc: c@d"},
		{Addr: "mail.example.org:587", From: sender, Encryption: "ssl"}, {Addr: "mail.example.org:587", From: sender, Encryption: Plain}, {Addr: "mail.example.org:587", From: sender, Timeout: -1},
	} {
		if _, err := NewSMTP(cfg); !errors.Is(err, event.ErrConfig) {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
	c, err := NewSMTP(SMTPConfig{Addr: "localhost:25", From: sender, Encryption: Plain, Password: secret.Of("hunter2")})
	if err != nil {
		t.Fatal(err)
	}
	if s := fmt.Sprintf("%v %+v %#v %v %+v", c, c, c, hello, hello); strings.Contains(s, "hunter2") || strings.Contains(s, "token") {
		t.Errorf("a secret is shown: %s", s)
	}
}

func TestOutbox(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mail")
	o, err := NewOutbox(dir, sender)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	o.now = func() time.Time { return at } // all at the same time
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if err := o.Send(t.Context(), hello); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 10 {
		t.Fatalf("%d files, %v", len(entries), err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.Mode().Perm() != 0o600 || !strings.HasSuffix(e.Name(), ".eml") || strings.HasPrefix(e.Name(), ".") {
			t.Errorf("%s, mode %v, %v", e.Name(), info.Mode(), err)
		}
		raw, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		check(t, string(raw), hello)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder's mode is %v, %v", info.Mode(), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := o.Send(ctx, hello); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := o.Send(t.Context(), hello); !errors.Is(err, event.ErrUnavailable) {
		t.Error(err)
	}
	if _, err := NewOutbox(dir, "nobody"); !errors.Is(err, event.ErrConfig) {
		t.Error(err)
	}
}

// Nothing that is sent can bring headers or recipients of its own.
func TestMessagesThatAreWrong(t *testing.T) {
	o, err := NewOutbox(t.TempDir(), sender)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []Message{
		{To: "ada", Subject: "x"}, {Subject: "x"}, {To: "ada@example.org"}, {To: "ada@example.org, bob@example.org", Subject: "x"}, {To: "Ada <ada@example.org>", Subject: "x"},
		{To: "ada@example.org\r\nBcc: bob@example.org", Subject: "x"}, {To: "ada@example.org", Subject: "x\r\nBcc: bob@example.org"}, {To: "ada@example.org", Subject: "x\ny"},
		{To: "ada@example.org", Subject: strings.Repeat("x", maxSubject+1)}, {To: "ada@example.org", Subject: "\xff"}, {To: "ada@example.org", Subject: "x", Text: secret.Of("\xff")},
		{To: "ada@example.org", Subject: "x", Text: secret.Of(strings.Repeat("x", maxText+1))}, {To: "\"a b\"@example.org", Subject: "x"},
	} {
		if err := o.Send(t.Context(), m); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("%+v: %v", m, err)
		}
	}
}

func TestTemplates(t *testing.T) {
	w := Templates{Product: "Käthes Shop <&>"}
	link := secret.Of("https://shop.example/confirm?x=1&y=2#token=abc")
	for name, write := range map[string]func() (Message, error){
		"confirm": func() (Message, error) { return w.Confirm("ada@example.org", link, 24*time.Hour) },
		"reset":   func() (Message, error) { return w.Reset("ada@example.org", link, 30*time.Minute) },
		"taken":   func() (Message, error) { return w.Taken("ada@example.org") },
	} {
		m, err := write()
		if err != nil {
			t.Fatal(err)
		}
		text := m.Text.Reveal()
		if m.To != "ada@example.org" || !strings.Contains(m.Subject, "Käthes Shop <&>") || !strings.Contains(text, "Käthes Shop <&>") || strings.Contains(text, "{{") || strings.HasPrefix(text, "\n") {
			t.Errorf("%s: %+v\n%s", name, m, text)
		}
		if has := strings.Contains(text, "\n"+link.Reveal()+"\n"); has != (name != "taken") {
			t.Errorf("%s: the link is there: %v", name, has)
		}
		if name == "confirm" && !strings.Contains(text, "within 1 day:") || name == "reset" && !strings.Contains(text, "within 30 minutes:") {
			t.Errorf("%s: %s", name, text)
		}
		if _, err := m.render(mail.Address{Address: "shop@example.org"}, time.Now()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, bad := range []string{"", "shop.example/x", "javascript:alert(1)", "https://shop.example/x\nhttps://attacker.example", "https://"} {
		if _, err := w.Confirm("ada@example.org", secret.Of(bad), time.Hour); !errors.Is(err, event.ErrInvalid) || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := w.Reset("ada@example.org", link, time.Second); !errors.Is(err, event.ErrInvalid) {
		t.Error(err)
	}
	for _, product := range []string{"", "a\nb"} {
		if _, err := (Templates{Product: product}).Taken("ada@example.org"); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("%q: %v", product, err)
		}
	}
	for d, want := range map[time.Duration]string{time.Minute: "1 minute", 90 * time.Second: "1 minute", 30 * time.Minute: "30 minutes", time.Hour: "1 hour", 90 * time.Minute: "90 minutes", 24 * time.Hour: "1 day", 48 * time.Hour: "2 days", 36 * time.Hour: "36 hours"} {
		if got := words(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}
