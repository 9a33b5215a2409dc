package mail

import (
	"embed"
	"fmt"
	"net/url"
	"strings"
	"text/template"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/secret"
)

//go:embed templates/*.txt
var files embed.FS

var templates = template.Must(template.New("").Option("missingkey=error").ParseFS(files, "templates/*.txt"))

// Templates writes the mails. Nothing that a user typed is in them: whoever registers with somebody else's address must not be
// able to send that person words of their own.
type Templates struct {
	// Product is the name that people know the service by. Required; one line.
	Product string
}

// Confirm asks who registered to confirm the address.
func (t Templates) Confirm(to string, link secret.Text, validFor time.Duration) (Message, error) {
	return t.write("confirm.txt", to, link, validFor)
}

// Reset lets who forgot the password choose another one.
func (t Templates) Reset(to string, link secret.Text, validFor time.Duration) (Message, error) {
	return t.write("reset.txt", to, link, validFor)
}

// Taken tells the owner of an account that somebody tried to register its address. It is sent in the place of Confirm, so that
// who tried cannot tell the difference. There is no link that lets anybody in.
func (t Templates) Taken(to string) (Message, error) {
	return t.write("taken.txt", to, secret.Text{}, 0)
}

// write executes a template, whose first line is the subject. Errors wrap event.ErrInvalid.
func (t Templates) write(name, to string, link secret.Text, validFor time.Duration) (Message, error) {
	if name != "taken.txt" {
		u, err := url.Parse(link.Reveal())
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.ContainsAny(link.Reveal(), " \r\n\t<>") {
			return Message{}, fmt.Errorf("%w: the link of a mail must be a URL with a host", event.ErrInvalid) // not quoted: it lets people in
		}
		if validFor < time.Minute {
			return Message{}, fmt.Errorf("%w: the link of a mail is valid for %v; it must be a minute at least", event.ErrInvalid, validFor)
		}
	}
	if t.Product == "" || strings.ContainsAny(t.Product, "\r\n") {
		return Message{}, fmt.Errorf("%w: mails need the product's name, on one line", event.ErrInvalid)
	}
	var b strings.Builder
	err := templates.ExecuteTemplate(&b, name, map[string]string{"Product": t.Product, "Link": link.Reveal(), "ValidFor": words(validFor)})
	if err != nil {
		return Message{}, fmt.Errorf("mail template %s: %w", name, err)
	}
	subject, text, _ := strings.Cut(b.String(), "\n")
	return Message{To: to, Subject: subject, Text: secret.Of(strings.TrimLeft(text, "\n"))}, nil
}

// words is a duration for people: "30 minutes", "1 hour", "2 days". Seconds are left out: better too short than too long.
func words(d time.Duration) string {
	n, unit := int(d/time.Minute), "minute"
	switch {
	case d%(24*time.Hour) == 0:
		n, unit = int(d/(24*time.Hour)), "day"
	case d%time.Hour == 0:
		n, unit = int(d/time.Hour), "hour"
	}
	if n != 1 {
		unit += "s"
	}
	return fmt.Sprintf("%d %s", n, unit)
}
