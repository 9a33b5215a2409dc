package identity

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
)

// deviceCookie holds the token of a device that has logged in before: whoever attacks an account does not slow it down.
const deviceCookie = "__Host-cqrsflow-device"

// deviceAge is how long a browser keeps it.
const deviceAge = 365 * 24 * time.Hour

// origin says where a request came from. It has no label: that takes the user's key.
func (s *Service) origin(c *call) *typev1.Origin {
	o := &typev1.Origin{Source: s.sourceHash(c)}
	if cookie, err := c.r.Cookie(deviceCookie); err == nil {
		if b, err := base64.RawURLEncoding.Strict().DecodeString(cookie.Value); err == nil && len(b) == 32 {
			sum := sha256.Sum256(b)
			o.Device = sum[:]
		}
	}
	if c.caller != nil {
		o.Session = c.caller.Session
	}
	return o
}

// sourceHash is the name of the source, as bytes.
func (s *Service) sourceHash(c *call) []byte {
	b, err := base64.RawURLEncoding.DecodeString(s.cfg.Index.Source(c.source))
	if err != nil {
		return nil // it is not: Index wrote it
	}
	return b
}

// labelled adds what people call the device, encrypted for the user.
func (s *Service) labelled(ctx context.Context, user string, c *call, o *typev1.Origin) (*typev1.Origin, error) {
	sealed, err := s.cfg.Vault.Encrypt(ctx, user, fieldDevice, []byte(label(c.r.UserAgent())))
	if err != nil {
		return nil, err
	}
	o.DeviceLabel = sealed
	return o, nil
}

// label is the client's name for itself, shortened and printable.
func label(agent string) string {
	const most = 200
	agent = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(agent, ""))
	if len(agent) > most {
		agent = strings.ToValidUTF8(agent[:most], "")
	}
	return agent
}

// rememberDevice makes the device known that has just logged in; a new one gets its cookie.
func (s *Service) rememberDevice(c *call, user string, o *typev1.Origin) {
	device := o.GetDevice()
	if device == nil {
		var b [32]byte
		_, _ = rand.Read(b[:]) // it never fails
		sum := sha256.Sum256(b[:])
		device = sum[:]
		http.SetCookie(c.w, &http.Cookie{Name: deviceCookie, Value: base64.RawURLEncoding.EncodeToString(b[:]), Path: "/", MaxAge: int(deviceAge.Seconds()),
			Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	}
	sealed := o.GetDeviceLabel()
	s.later("remember a device", func(ctx context.Context) error {
		_, err := s.do(ctx, userType, user, &userv1.RememberDevice{Device: device, Label: sealed}, nil)
		return err
	})
}
