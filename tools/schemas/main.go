// Command schemas generates and checks the Go code of the protobuf files under schemas/, without network.
//
//	go run -C tools ./schemas generate     make schemas/**/*.pb.go
//	go run -C tools ./schemas check        stale generated code, lint, breaking changes; changes nothing
//
// The generator protoc-gen-go is built from the main module, so that it always has the runtime's version; buf comes
// from this one.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
)

const generatedSuffix = ".pb.go"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "schemas:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errors.New("give one of generate, check")
	}
	out, err := exec.CommandContext(ctx, "git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		return fmt.Errorf("find the repository: %w", withStderr(err))
	}
	repo := strings.TrimSpace(string(out))
	tmp, err := os.MkdirTemp("", "schemas")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	t, err := newTools(ctx, repo, tmp)
	if err != nil {
		return err
	}
	switch args[0] {
	case "generate":
		return generate(ctx, t, repo)
	case "check":
		return check(ctx, t, repo)
	}
	return fmt.Errorf("unknown command %q: give one of generate, check", args[0])
}

// generate replaces the generated files of the repository.
func generate(ctx context.Context, t *tools, repo string) error {
	fresh, err := regenerate(ctx, t, repo)
	if err != nil {
		return err
	}
	old, err := filesBelow(filepath.Join(repo, schemasDir), generatedSuffix)
	if err != nil {
		return err
	}
	for name := range old {
		if _, ok := fresh[name]; !ok {
			if err := os.Remove(filepath.Join(repo, schemasDir, name)); err != nil {
				return err
			}
		}
	}
	for name, content := range fresh {
		if bytes.Equal(old[name], content) {
			continue
		}
		if err := writeFile(filepath.Join(repo, schemasDir, name), content); err != nil {
			return err
		}
	}
	return nil
}

// check compares the generated files with fresh ones, lints the schemas and compares them with earlier ones.
func check(ctx context.Context, t *tools, repo string) error {
	fresh, err := regenerate(ctx, t, repo)
	if err != nil {
		return err
	}
	committed, err := filesBelow(filepath.Join(repo, schemasDir), generatedSuffix)
	if err != nil {
		return err
	}
	var errs []error
	if stale := differing(committed, fresh); len(stale) > 0 {
		errs = append(errs, fmt.Errorf("generated code is stale, run make generate: %s", strings.Join(stale, ", ")))
	}
	ws, err := t.workspace(repo)
	if err != nil {
		return err
	}
	if err := t.buf(ctx, ws, "lint", schemasDir); err != nil {
		errs = append(errs, err)
	}
	if err := breaking(ctx, t, repo, ws); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// breaking compares the workspace's schemas with each earlier version that must stay readable.
func breaking(ctx context.Context, t *tools, repo, ws string) error {
	revs, err := bases(ctx, repo, os.Getenv("SCHEMAS_AGAINST"))
	if err != nil {
		return err
	}
	if len(revs) == 0 {
		fmt.Fprintln(os.Stderr, "schemas: this clone has no earlier version of the schemas to compare with")
	}
	var errs []error
	for _, rev := range revs {
		old, err := t.workspaceAt(ctx, repo, rev)
		if err != nil {
			return err
		}
		image := filepath.Join(old, "schemas.binpb")
		if err := t.buf(ctx, old, "build", schemasDir, "-o", image); err != nil {
			return fmt.Errorf("build the schemas of %s: %w", rev, err)
		}
		if err := t.buf(ctx, ws, "breaking", schemasDir, "--against", image); err != nil {
			errs = append(errs, fmt.Errorf("against %s: %w", rev, err))
		}
	}
	return errors.Join(errs...)
}

// regenerate makes the generated files in a workspace of its own and returns them by path below schemas/.
func regenerate(ctx context.Context, t *tools, repo string) (map[string][]byte, error) {
	ws, err := t.workspace(repo)
	if err != nil {
		return nil, err
	}
	if err := t.buf(ctx, ws, "generate", schemasDir); err != nil {
		return nil, err
	}
	return filesBelow(filepath.Join(ws, schemasDir), generatedSuffix)
}

// differing names, sorted, the files that are not the same in both.
func differing(a, b map[string][]byte) []string {
	var names []string
	for name, content := range a {
		if other, ok := b[name]; !ok || !bytes.Equal(content, other) {
			names = append(names, name)
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// filesBelow reads the files below dir whose name ends in suffix, by slash-separated path relative to dir.
func filesBelow(dir, suffix string) (map[string][]byte, error) {
	files := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, suffix) {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		files[filepath.ToSlash(name)] = content
		return nil
	})
	return files, err
}

func writeFile(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}

// withStderr adds what the command wrote to its standard error.
func withStderr(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(exit.Stderr) > 0 {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(exit.Stderr))
	}
	return err
}
