package decidertest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/decider"
)

// golden is the content of a file of golden folds.
type golden struct {
	// Fingerprint is the registration's when the folds were made.
	Fingerprint uint32 `json:"fingerprint"`
	// Folds are hashes of all states on the way, by the name of the history.
	Folds map[string]string `json:"folds"`
}

// GoldenFolds folds histories and compares what comes out with a file. It fails where Evolve makes other
// states of a history than it did, and the fingerprint was not raised: snapshots made before would be
// trusted although they are not what Evolve would make. Where it was raised, or histories are new,
// update writes the file; it does not write what the fingerprint does not allow.
func GoldenFolds[C, E, S any](t TB, path string, update bool, fingerprint uint32, d decider.Decider[C, E, S], histories map[string][]E) {
	t.Helper()
	now := golden{Fingerprint: fingerprint, Folds: map[string]string{}}
	for name, events := range histories {
		now.Folds[name] = foldHash(t, d, events)
	}
	was, err := readGolden(path)
	if err != nil {
		t.Fatalf("golden folds: %v", err)
	}
	var changed, others []string
	for name, hash := range now.Folds {
		switch {
		case was.Folds[name] == "":
			others = append(others, name)
		case was.Folds[name] != hash:
			changed = append(changed, name)
		}
	}
	for name := range was.Folds {
		if _, ok := now.Folds[name]; !ok {
			others = append(others, name)
		}
	}
	slices.Sort(changed)
	slices.Sort(others)
	switch {
	case was.Fingerprint > fingerprint:
		t.Fatalf("the fingerprint is %d, but %s was made with %d: it never goes back", fingerprint, path, was.Fingerprint)
	case was.Fingerprint == fingerprint && len(changed) > 0:
		t.Fatalf("Evolve makes other states of these histories than before: %s. "+
			"Raise the aggregate's Fingerprint from %d to %d, so that snapshots made before are discarded; then run this test with -update",
			strings.Join(changed, ", "), fingerprint, fingerprint+1)
	case update:
		if err := writeGolden(path, now); err != nil {
			t.Fatalf("golden folds: %v", err)
		}
	case was.Fingerprint != fingerprint || len(others) > 0:
		t.Fatalf("%s is of fingerprint %d, the registration of %d, and these histories are new or gone: [%s]. Run this test with -update",
			path, was.Fingerprint, fingerprint, strings.Join(others, ", "))
	}
}

// foldHash identifies every state of a history.
func foldHash[C, E, S any](t TB, d decider.Decider[C, E, S], events []E) string {
	t.Helper()
	h := sha256.New()
	state := d.Initial()
	h.Write(bytesOf(t, state))
	for _, e := range events {
		state = d.Evolve(state, e)
		sum := sha256.Sum256(bytesOf(t, state))
		h.Write(sum[:])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// bytesOf is what a snapshot would hold of a message; of anything else all that can be reached from it.
func bytesOf(t TB, state any) []byte {
	t.Helper()
	m, ok := state.(proto.Message)
	if !ok {
		return []byte(render(state))
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatalf("encode the state: %v", err)
	}
	return b
}

func readGolden(path string) (g golden, err error) {
	b, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return g, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &g)
	}
	return g, err
}

func writeGolden(path string, g golden) error {
	b, err := json.MarshalIndent(g, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}
