package config

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"crypto/tls"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/event"
)

// identity writes a self-signed certificate for 127.0.0.1 and its key.
func identity(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	put := func(name, kind string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return put("cert.pem", "CERTIFICATE", der), put("key.pem", "EC PRIVATE KEY", keyDER)
}

// The options log in to a broker that asks for it, over TLS with certificates on both sides.
func TestOptionsConnect(t *testing.T) {
	cert, key := identity(t)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := CAs(cert, "test")
	if err != nil {
		t.Fatal(err)
	}
	server := &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		t.Run(mechanism, func(t *testing.T) {
			cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.TLS(server), kfake.EnableSASL(), kfake.Superuser(mechanism, "me", "hunter2"))
			if err != nil {
				t.Fatal(err)
			}
			defer cluster.Close()
			connect := func(password string) error {
				s, err := Load(Input{Flags: map[string]string{"kafka-brokers": strings.Join(cluster.ListenAddrs(), ","), "kafka-tls-ca-file": cert,
					"kafka-tls-cert-file": cert, "kafka-tls-key-file": key, "kafka-sasl-mechanism": strings.ToLower(mechanism), "kafka-sasl-username": "me"},
					Environ: []string{"CQRSFLOW_KAFKA_SASL_PASSWORD=" + password}})
				if err != nil {
					t.Fatal(err)
				}
				opts, err := s.Kafka.Options()
				if err != nil {
					t.Fatal(err)
				}
				client, err := kgo.NewClient(opts...)
				if err != nil {
					t.Fatal(err)
				}
				defer client.Close()
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				return client.Ping(ctx)
			}
			if err := connect("hunter2"); err != nil {
				t.Error(err)
			}
			if err := connect("hunter3"); err == nil {
				t.Error("a wrong password was accepted")
			}
		})
	}
}

func TestOAuthReadsTheFileAtEachLogin(t *testing.T) {
	path := write(t, "one\n")
	k := &Kafka{SASLMechanism: "oauthbearer", SASLTokenFile: path}
	m := k.sasl()
	for _, token := range []string{"one", "two"} {
		if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, first, err := m.Authenticate(t.Context(), "broker:9092")
		if err != nil || !strings.Contains(string(first), "auth=Bearer "+token+"\x01") {
			t.Errorf("first message %q, %v, want the token %q", first, err, token)
		}
	}
}

func TestOptionsErrors(t *testing.T) {
	garbage := write(t, "garbage")
	for name, k := range map[string]*Kafka{
		"kafka.tls.ca_file":   {TLSCA: garbage},
		"no such file":        {TLSCA: "/does/not/exist"},
		"kafka.tls.cert_file": {TLSCert: garbage, TLSKey: garbage},
	} {
		_, err := k.Options()
		if !errors.Is(err, event.ErrConfig) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
