package topology

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// advice says which settings a failure to connect points at; empty where it points at none. final says that only other
// settings, or other brokers, can help: nothing comes of waiting.
func advice(err error) (settings string, final bool) {
	var unverified *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var header tls.RecordHeaderError
	var eof *kgo.ErrFirstReadEOF
	var op *net.OpError
	switch {
	case errors.As(err, &unverified), errors.As(err, &authority), errors.As(err, &host):
		return "the brokers' certificate is not trusted: kafka.tls.ca_file, kafka.tls.server_name (CQRSFLOW_KAFKA_TLS_CA_FILE, …)", true
	case errors.As(err, &header):
		return "the brokers do not speak TLS there: kafka.tls.enabled (CQRSFLOW_KAFKA_TLS_ENABLED)", true
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		return "the brokers do not let this user in: kafka.sasl.username, kafka.sasl.password, kafka.sasl.mechanism (CQRSFLOW_KAFKA_SASL_USERNAME, …)", true
	case errors.Is(err, kerr.UnsupportedSaslMechanism), errors.Is(err, kerr.IllegalSaslState):
		return "the brokers want another login: kafka.sasl.mechanism (CQRSFLOW_KAFKA_SASL_MECHANISM)", true
	// A TLS alert: from version 1.3 on it comes after the handshake, with what is read first.
	case errors.As(err, &op) && op.Op == "remote error":
		return "the brokers want another client certificate: kafka.tls.cert_file, kafka.tls.key_file (CQRSFLOW_KAFKA_TLS_CERT_FILE, …)", true
	// The client has only words for it: what is read as the length of an answer is the beginning of a TLS alert.
	case err != nil && strings.Contains(err.Error(), "tls alert record"):
		return "the brokers want TLS: kafka.tls.enabled, kafka.tls.ca_file (CQRSFLOW_KAFKA_TLS_ENABLED, …)", true
	case errors.As(err, &eof):
		return "they may want TLS, kafka.tls.enabled, or a login, kafka.sasl.mechanism (CQRSFLOW_KAFKA_TLS_ENABLED, CQRSFLOW_KAFKA_SASL_MECHANISM)", false
	}
	return "", false
}
