package mail

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"os"
	"path/filepath"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
)

// Outbox puts each mail into a file of its own, for development: <time>-<random>.eml, which mail programs open. Files are
// readable by their owner only (0600), and whole from the moment they have that name.
type Outbox struct {
	dir  string
	from mail.Address
	now  func() time.Time
}

// NewOutbox makes the folder (mode 0700) where it is not there. from is an address, with a name or not. Errors wrap event.ErrConfig.
func NewOutbox(dir, from string) (*Outbox, error) {
	sender, err := mail.ParseAddress(from)
	if err != nil {
		return nil, fmt.Errorf("%w: the sender of mails must be an address such as Shop <shop@example.org>", event.ErrConfig)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("%w: the folder for mails: %w", event.ErrConfig, err)
	}
	return &Outbox{dir: dir, from: *sender, now: time.Now}, nil
}

// Send writes the file.
func (o *Outbox) Send(ctx context.Context, m Message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	now := o.now()
	text, err := m.render(o.from, now)
	if err != nil {
		return fmt.Errorf("write a mail: %w", err)
	}
	tmp, err := os.CreateTemp(o.dir, ".mail-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write a mail: %w: %w", event.ErrUnavailable, err)
	}
	_, err = tmp.Write(text)
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(o.dir, now.UTC().Format("20060102T150405.000000000Z")+"-"+random()[:6]+".eml"))
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("write a mail: %w: %w", event.ErrUnavailable, err)
	}
	return nil
}
