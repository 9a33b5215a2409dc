package config

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/cqrsflow/cqrsflow/event"
)

// Options are the client options that every Kafka client of the process starts from: where the brokers are,
// how to reach them and how to log in. It reads the TLS files. Errors wrap event.ErrConfig and name the setting.
func (k *Kafka) Options() ([]kgo.Opt, error) {
	opts := []kgo.Opt{kgo.SeedBrokers(k.Brokers...), kgo.ClientID(k.ClientID),
		// Pushing them (KIP-714) holds up the closing of a client for 2 s where the broker is gone; ours are on /metrics.
		kgo.DisableClientMetrics()}
	if k.UsesTLS() {
		t, err := k.tls()
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.DialTLSConfig(t))
	}
	if m := k.sasl(); m != nil {
		opts = append(opts, kgo.SASL(m))
	}
	return opts, nil
}

// UsesTLS reports whether connections use TLS.
func (k *Kafka) UsesTLS() bool {
	return k.TLS || k.TLSCA != "" || k.TLSCert != "" || k.TLSServerName != ""
}

func (k *Kafka) tls() (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: k.TLSServerName}
	if k.TLSCA != "" {
		pool, err := CAs(k.TLSCA, "kafka.tls.ca_file")
		if err != nil {
			return nil, err
		}
		t.RootCAs = pool
	}
	if k.TLSCert != "" {
		if _, err := tls.LoadX509KeyPair(k.TLSCert, k.TLSKey); err != nil {
			return nil, fmt.Errorf("%w: kafka.tls.cert_file and kafka.tls.key_file: %w", event.ErrConfig, err)
		}
		// Read at each handshake, so that a certificate can be renewed under a running process.
		t.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			c, err := tls.LoadX509KeyPair(k.TLSCert, k.TLSKey)
			return &c, err
		}
	}
	return t, nil
}

// CAs reads a PEM file of certificate authorities; key names the setting in its error, which wraps event.ErrConfig.
func CAs(path, key string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", event.ErrConfig, key, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%w: %s: %s holds no certificate in PEM form", event.ErrConfig, key, path)
	}
	return pool, nil
}

func (k *Kafka) sasl() sasl.Mechanism {
	switch k.SASLMechanism {
	case "plain":
		return plain.Auth{User: k.SASLUsername, Pass: k.SASLPassword}.AsMechanism()
	case "scram-sha-256":
		return scram.Auth{User: k.SASLUsername, Pass: k.SASLPassword}.AsSha256Mechanism()
	case "scram-sha-512":
		return scram.Auth{User: k.SASLUsername, Pass: k.SASLPassword}.AsSha512Mechanism()
	case "oauthbearer":
		return oauth.Oauth(func(context.Context) (oauth.Auth, error) {
			b, err := os.ReadFile(k.SASLTokenFile)
			if err != nil {
				return oauth.Auth{}, fmt.Errorf("%w: kafka.sasl.token_file: %w", event.ErrConfig, err)
			}
			return oauth.Auth{Token: strings.TrimSpace(string(b))}, nil
		})
	}
	return nil
}

// ProducerCompression is the client option for clients that write. Each client needs one of its own, which is why it is
// not among Options: making a client writes to the list of codecs, and options are shared.
func (k *Kafka) ProducerCompression() kgo.Opt {
	return kgo.ProducerBatchCompression(codec(k.Compression))
}

func codec(name string) kgo.CompressionCodec {
	switch name {
	case "snappy":
		return kgo.SnappyCompression()
	case "lz4":
		return kgo.Lz4Compression()
	case "zstd":
		return kgo.ZstdCompression()
	}
	return kgo.NoCompression()
}
