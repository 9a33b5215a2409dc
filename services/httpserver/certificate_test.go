package httpserver

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
)

// writeCertificate writes a certificate for 127.0.0.1 with that name, and its key.
func writeCertificate(t *testing.T, name, certFile, keyFile string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: key}} {
		if path == "" {
			continue
		}
		// Renamed into its place, so that it is never half there.
		if err := os.WriteFile(path+".new", pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
}

// A certificate that is replaced is used for the connections that come then; one that is no certificate is not.
func TestCertificateIsReadAgain(t *testing.T) {
	certFile, keyFile := filepath.Join(t.TempDir(), "tls.crt"), filepath.Join(t.TempDir(), "tls.key")
	writeCertificate(t, "first", certFile, keyFile)
	said := &lines{more: make(chan string, 100)}
	c, err := OpenCertificate(certFile, keyFile, time.Millisecond, slog.New(slog.NewTextHandler(said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	url, stop := running(t, Config{Certificate: c.Get, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {})})
	name := func() string {
		t.Helper()
		transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
		defer transport.CloseIdleConnections()
		resp, err := (&http.Client{Transport: transport}).Get("https" + strings.TrimPrefix(url, "http"))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.ProtoMajor != 2 {
			t.Errorf("it speaks %s", resp.Proto)
		}
		return resp.TLS.PeerCertificates[0].Subject.CommonName
	}
	if n := name(); n != "first" {
		t.Errorf("the certificate is %s", n)
	}
	writeCertificate(t, "second", certFile, "") // its key is still the first one's
	said.await(t, "cannot be used")
	if n := name(); n != "first" {
		t.Errorf("with another's key, the certificate is %s", n)
	}
	writeCertificate(t, "third", certFile, keyFile)
	said.await(t, "has been read again")
	if n := name(); n != "third" {
		t.Errorf("the certificate is %s", n)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := OpenCertificate(keyFile, certFile, 0, slog.Default()); !errors.Is(err, event.ErrConfig) {
		t.Errorf("a key for a certificate: %v", err)
	}
}

// lines hands on what is logged.
type lines struct{ more chan string }

func (l *lines) Write(b []byte) (int, error) {
	select {
	case l.more <- string(bytes.TrimSpace(b)):
	default:
	}
	return len(b), nil
}

func (l *lines) await(t *testing.T, text string) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case line := <-l.more:
			if strings.Contains(line, text) {
				return
			}
		case <-deadline:
			t.Fatalf("nothing was logged with %q", text)
		}
	}
}
