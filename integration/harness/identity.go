package harness

import (
	"crypto/rand"
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"

	"github.com/cqrsflow/cqrsflow/services/identity/token"
)

// Identity is what the role identity needs on real servers, as an operator has it: keys and secrets in files, mails in a folder.
// Policies are enforced. Processes believe whoever connects from this host when they say where a request came from.
type Identity struct {
	Outbox string
	// Settings name the files.
	Settings []string
}

// NewIdentity makes keys.
func NewIdentity(t testing.TB) *Identity {
	t.Helper()
	dir := t.TempDir()
	id := &Identity{Outbox: filepath.Join(dir, "outbox")}
	keys := filepath.Join(dir, "token-keys")
	if err := token.EnsureKey(keys); err != nil {
		t.Fatal(err)
	}
	id.Settings = []string{"CQRSFLOW_IDENTITY_ISSUER=https://id.example", "CQRSFLOW_IDENTITY_PUBLIC_URL=https://shop.example", "CQRSFLOW_IDENTITY_MAIL_FROM=Shop <shop@shop.example>",
		"CQRSFLOW_IDENTITY_OUTBOX=" + id.Outbox, "CQRSFLOW_IDENTITY_TOKEN_KEYS=" + keys, "CQRSFLOW_IDENTITY_TRUSTED_PROXIES=127.0.0.1/32", "CQRSFLOW_POLICY_MODE=enforce"}
	for variable, head := range map[string]string{"CQRSFLOW_IDENTITY_KEKS": "a:", "CQRSFLOW_IDENTITY_INDEX_KEY": "", "CQRSFLOW_PRINCIPAL_KEYS": "a:"} {
		key := make([]byte, 32)
		_, _ = rand.Read(key) // it never fails
		file := filepath.Join(dir, variable)
		if err := os.WriteFile(file, []byte(head+base64.StdEncoding.EncodeToString(key)), 0o600); err != nil {
			t.Fatal(err)
		}
		id.Settings = append(id.Settings, variable+"_FILE="+file)
	}
	return id
}
