package token

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/secret"
)

// Folder holds keys in PEM files, whose names say what each is for:
//
//	2026-05.pem       the greatest name signs; all of them verify
//	2026-08.next.pem  verifies, and is in the JWKS document, but does not sign yet
//
// A private key is PKCS#8 ("PRIVATE KEY"), as openssl genpkey -algorithm ed25519 writes it; a "PUBLIC KEY" only verifies. To
// change keys: put the new one there as .next.pem; when all verifiers have fetched it, rename it to .pem; when the tokens of
// the old one have expired, remove that. Files of other names, and hidden ones, are left alone. It is safe for concurrent use.
type Folder struct {
	dir     string
	log     *slog.Logger
	current atomic.Pointer[KeySet]
}

const (
	suffix = ".pem"
	next   = ".next"
	// reload is how often a folder is looked at.
	reload = 10 * time.Second
)

// OpenFolder reads the keys. Errors wrap event.ErrConfig and name the file. A nil logger is slog.Default.
func OpenFolder(dir string, log *slog.Logger) (*Folder, error) {
	if log == nil {
		log = slog.Default()
	}
	f := &Folder{dir: dir, log: log}
	if err := f.Reload(); err != nil {
		return nil, err
	}
	return f, nil
}

// Keys are the keys as they were read last.
func (f *Folder) Keys() *KeySet { return f.current.Load() }

// Reload reads the files again. Where one is wrong it keeps the keys that it has, and says why.
func (f *Folder) Reload() error {
	set, err := readFolder(f.dir)
	if err != nil {
		return fmt.Errorf("signing keys: %w", err)
	}
	if old := f.current.Swap(set); old == nil || old.signer != set.signer || !maps.EqualFunc(old.public, set.public, func(a, b ed25519.PublicKey) bool { return a.Equal(b) }) {
		f.log.Info("signing keys", "folder", f.dir, "signs", set.signer, "verify", set.IDs())
	}
	return nil
}

// Run reloads every ten seconds until ctx ends. What is wrong is logged, once until it changes.
func (f *Folder) Run(ctx context.Context) error {
	tick := time.NewTicker(reload)
	defer tick.Stop()
	f.run(ctx, tick.C)
	return nil
}

func (f *Folder) run(ctx context.Context, tick <-chan time.Time) {
	said := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick:
		}
		err := f.Reload()
		if err != nil && err.Error() != said {
			f.log.Error("the signing keys stay as they were", "error", err)
		}
		said = ""
		if err != nil {
			said = err.Error()
		}
	}
}

func readFolder(dir string) (*KeySet, error) {
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		return nil, fmt.Errorf("%w: %w", event.ErrConfig, err)
	}
	set := &KeySet{public: map[string]ed25519.PublicKey{}}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), suffix)
		if !ok || strings.HasPrefix(name, ".") {
			continue
		}
		id, waits := strings.CutSuffix(name, next)
		private, public, err := readKey(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		if id == "" || event.CheckStreamID(id) != nil {
			return nil, fmt.Errorf("%w: %s: the name before .pem is the key's ID; it needs 1 to %d characters of A-Z a-z 0-9 . _ : -", event.ErrConfig, filepath.Join(dir, e.Name()), event.MaxStreamID)
		}
		if _, twice := set.public[id]; twice {
			return nil, fmt.Errorf("%w: %s: both %s.pem and %s.next.pem are there; remove one", event.ErrConfig, dir, id, id)
		}
		set.public[id] = public
		if private != nil && !waits && id > set.signer {
			set.signer, set.private = id, secret.Of(private)
		}
	}
	if set.signer == "" {
		return nil, fmt.Errorf("%w: %s has no private key that may sign: make one with: openssl genpkey -algorithm ed25519 -out %s",
			event.ErrConfig, dir, filepath.Join(dir, time.Now().UTC().Format("2006-01")+suffix))
	}
	return set, nil
}

// readKey reads a PEM file; private is nil where it has a public key only.
func readKey(path string) (private ed25519.PrivateKey, public ed25519.PublicKey, err error) {
	bad := func(format string, args ...any) (ed25519.PrivateKey, ed25519.PublicKey, error) {
		return nil, nil, fmt.Errorf("%w: %s: %w", event.ErrConfig, path, fmt.Errorf(format, args...))
	}
	info, err := os.Stat(path)
	if err != nil {
		return bad("%w", err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return bad("%w", err)
	}
	block, rest := pem.Decode(text)
	switch {
	case block == nil:
		return bad("it is not PEM")
	case len(bytes.TrimSpace(rest)) > 0:
		return bad("there is more than one key; each needs a file of its own")
	}
	var key any
	switch block.Type {
	case "PRIVATE KEY":
		if info.Mode().Perm()&0o007 != 0 {
			return bad("everybody can read it (mode %04o); chmod it to 0600, or 0440 for a mounted secret", info.Mode().Perm())
		}
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	default:
		return bad("it is a %q; it must be a PRIVATE KEY (PKCS#8) or a PUBLIC KEY", block.Type)
	}
	if err != nil {
		return bad("it cannot be read as a key") // x509's words could quote from it
	}
	switch k := key.(type) {
	case ed25519.PrivateKey:
		return k, k.Public().(ed25519.PublicKey), nil
	case ed25519.PublicKey:
		return nil, k, nil
	}
	return bad("it is not an Ed25519 key: openssl genpkey -algorithm ed25519")
}

// EnsureKey makes the folder (mode 0700) and a key in it (0600) where no key file is there: for development on one machine.
func EnsureKey(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("folder of signing keys: %w", err)
	}
	have, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil || len(have) > 0 {
		return err
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("make a signing key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return fmt.Errorf("make a signing key: %w", err)
	}
	tmp, err := os.CreateTemp(dir, ".key-*") // mode 0600
	if err != nil {
		return fmt.Errorf("make a signing key: %w", err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	err = pem.Encode(tmp, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("write a signing key: %w", err)
	}
	// A link, unlike a rename, does not replace what another process has made meanwhile.
	if err := os.Link(tmp.Name(), filepath.Join(dir, "dev"+suffix)); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("write a signing key: %w", err)
	}
	return nil
}
