package vault

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/secret"
)

// ErrForgotten: the user's key was deleted, and there will be no other one. It wraps event.ErrNotFound.
var ErrForgotten = fmt.Errorf("%w: the user was forgotten", event.ErrNotFound)

const (
	// TTL is how long a key is used without being looked for again: that long after Forget has returned, at most, another
	// process reads what it has cached. It is a promise that needs no message to arrive.
	TTL = 3 * time.Second
	// cacheSize is the default number of keys in memory.
	cacheSize = 10_000
)

// Config says where keys are. Pool and KEKs are required.
type Config struct {
	// Pool is of the database on which Migrate was called. The vault does not close it.
	Pool *pgxpool.Pool
	// KEKs are the key-encryption keys: the current one wraps new keys, all unwrap. Remove one only after Rewrap.
	KEKs secret.Keys
	// CacheSize bounds how many users' keys are in memory (default 10,000).
	CacheSize int
	// Now defaults to time.Now.
	Now func() time.Time
}

// Vault encrypts and decrypts fields of users. It is safe for concurrent use.
type Vault struct {
	pool  *pgxpool.Pool
	keks  secret.Keys
	cache *cache
}

// New checks the configuration; errors wrap event.ErrConfig.
func New(cfg Config) (*Vault, error) {
	if cfg.Pool == nil || cfg.KEKs.Empty() {
		return nil, fmt.Errorf("%w: the keys of users need a database and a key-encryption key", event.ErrConfig)
	}
	if cfg.CacheSize == 0 {
		cfg.CacheSize = cacheSize
	}
	if cfg.CacheSize < 0 {
		return nil, fmt.Errorf("%w: the cache of users' keys has size %d; it must be positive", event.ErrConfig, cfg.CacheSize)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Vault{pool: cfg.Pool, keks: cfg.KEKs.Derive("user keys"), cache: newCache(cfg.CacheSize, TTL, cfg.Now)}, nil
}

// Encrypt encrypts a field of a user, and makes the user's key where there is none. Errors: ErrForgotten; event.ErrUnavailable; event.ErrInvalid
// where the user is no stream ID; event.ErrConfig where the key is wrapped by a key-encryption key that is not configured.
func (v *Vault) Encrypt(ctx context.Context, user, field string, plain []byte) ([]byte, error) {
	aead, err := v.key(ctx, user)
	if errors.Is(err, errNoKey) {
		if err = v.makeKey(ctx, user); err == nil {
			aead, err = v.key(ctx, user)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("encrypt %s of user %s: %w", field, user, err)
	}
	return seal(aead, plain, "field", user, field), nil
}

// Field is a field that was decrypted, or cannot be any more.
type Field struct {
	// Redacted says that there is no key: the user was forgotten. Text is then empty.
	Redacted bool
	Text     secret.Bytes
}

// Decrypt decrypts a field of a user. Where the user has no key it is redacted, and that is no error: what reads the log goes
// on. Errors: event.ErrUndecodable where the bytes are not this field of this user; event.ErrUnavailable and event.ErrConfig as
// for Encrypt, where the key may be there and cannot be had.
func (v *Vault) Decrypt(ctx context.Context, user, field string, sealed []byte) (Field, error) {
	aead, err := v.key(ctx, user)
	if errors.Is(err, errNoKey) || errors.Is(err, ErrForgotten) {
		return Field{Redacted: true}, nil
	}
	var plain []byte
	if err == nil {
		plain, err = open(aead, sealed, "field", user, field)
	}
	if err != nil {
		return Field{}, fmt.Errorf("decrypt %s of user %s: %w", field, user, err)
	}
	return Field{Text: secret.Of(plain)}, nil
}

// errNoKey: the table has no row for the user.
var errNoKey = errors.New("the user has no key")

// key returns a user's key; errNoKey or ErrForgotten where there is none, which is never cached.
func (v *Vault) key(ctx context.Context, user string) (cipher.AEAD, error) {
	if aead := v.cache.get(user); aead != nil {
		return aead, nil
	}
	if err := event.CheckStreamID(user); err != nil {
		return nil, err
	}
	loading := v.cache.begin()
	var kek *string
	var wrapped []byte
	err := v.pool.QueryRow(ctx, `SELECT kek, wrapped FROM keys.user_keys WHERE user_id = $1`, user).Scan(&kek, &wrapped)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, errNoKey
	case err != nil:
		return nil, failed("read the key", err)
	case kek == nil:
		return nil, ErrForgotten
	}
	plain, err := v.unwrap(user, *kek, wrapped)
	if err != nil {
		return nil, err
	}
	aead := secret.AEAD(plain)
	v.cache.put(user, aead, loading)
	return aead, nil
}

func (v *Vault) makeKey(ctx context.Context, user string) error {
	key := make([]byte, keyBytes)
	_, _ = rand.Read(key) // it never fails
	id, wrapped := v.wrap(user, key)
	// Another process may be first, or the user forgotten: what is there stays.
	_, err := v.pool.Exec(ctx, `INSERT INTO keys.user_keys (user_id, kek, wrapped) VALUES ($1, $2, $3) ON CONFLICT (user_id) DO NOTHING`, user, id, wrapped)
	if err != nil {
		return failed("store a new key", err)
	}
	return nil
}

func (v *Vault) wrap(user string, key []byte) (kek string, wrapped []byte) {
	id, k := v.keks.Current()
	return id, seal(secret.AEAD(k), key, "key", user, id)
}

func (v *Vault) unwrap(user, kek string, wrapped []byte) ([]byte, error) {
	k, ok := v.keks.Get(kek)
	if !ok {
		return nil, fmt.Errorf("%w: the key is wrapped by the key-encryption key %s, which is not configured (configured: %s)", event.ErrConfig, kek, v.keks)
	}
	key, err := open(secret.AEAD(k), wrapped, "key", user, kek)
	if err != nil {
		// Not undecodable: the field may be whole. Most likely another key has got the same ID.
		return nil, fmt.Errorf("%w: the key-encryption key %s is not the one that wrapped the key", event.ErrConfig, kek)
	}
	return key, nil
}

// failed wraps an error of the database. All are taken as passing, but the end of the context and a table that is not there or
// not ours to use (SQLSTATE class 42).
func failed(what string, err error) error {
	var pg *pgconn.PgError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", what, err)
	case errors.As(err, &pg) && strings.HasPrefix(pg.Code, "42"):
		return fmt.Errorf("%w: %s: %w", event.ErrConfig, what, err)
	}
	return fmt.Errorf("%w: %s: %w", event.ErrUnavailable, what, err)
}
