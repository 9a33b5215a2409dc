package principal

import (
	"time"

	"github.com/cqrsflow/cqrsflow/event"
)

// Signer signs commands as one principal, mostly a service. It is immutable and safe for concurrent use.
type Signer struct {
	// Keys sign. Required.
	Keys *Keyring
	// As is who asks.
	As Principal
	// Valid is for how long after it was signed a command may be taken; 15 minutes.
	Valid time.Duration
	// Clock; time.Now.
	Clock func() time.Time
}

// DefaultValid is how long after it was signed a command may be taken.
const DefaultValid = 15 * time.Minute

// Sign puts the proof of who asks into c.Auth. The command and its body must be as they will be published, its ID
// included. A nil Signer signs nothing. Errors wrap event.ErrInvalid.
func (s *Signer) Sign(c *event.Command, contentType string, body []byte) error {
	if s == nil {
		return nil
	}
	valid, clock := s.Valid, s.Clock
	if valid == 0 {
		valid = DefaultValid
	}
	if clock == nil {
		clock = time.Now
	}
	m := MessageOf(c, contentType, body)
	auth, err := s.Keys.Sign(s.As, &m, clock().Add(valid))
	if err != nil {
		return err
	}
	c.Auth = string(auth)
	return nil
}
