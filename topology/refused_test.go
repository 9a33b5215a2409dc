package topology

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Whoever is not let in is told which setting to look at. That the brokers' refusals look like this, integration/secure shows.
func TestAdvice(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		says  string
		final bool
	}{
		"an authority": {&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, "kafka.tls.ca_file", true},
		"a name":       {x509.HostnameError{Certificate: &x509.Certificate{}, Host: "kafka"}, "kafka.tls.server_name", true},
		"no TLS there": {tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, "kafka.tls.enabled", true},
		"TLS there":    {errors.New("invalid large response size 1 > limit 0; the first three bytes received appear to be a tls alert record for TLS v1.2"), "kafka.tls.enabled", true},
		"an alert":     {&net.OpError{Op: "remote error", Err: errors.New("tls: certificate required")}, "kafka.tls.cert_file", true},
		"a password":   {kerr.SaslAuthenticationFailed, "kafka.sasl.password", true},
		"a mechanism":  {kerr.UnsupportedSaslMechanism, "kafka.sasl.mechanism", true},
		"an end":       {&kgo.ErrFirstReadEOF{}, "kafka.tls.enabled", false},
		"nobody":       {&net.OpError{Op: "dial", Err: errors.New("connection refused")}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			settings, final := advice(fmt.Errorf("unable to dial: %w", c.err))
			if !strings.Contains(settings, c.says) || c.says == "" && settings != "" || final != c.final {
				t.Errorf("%q, %v", settings, final)
			}
		})
	}
}
