package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"github.com/jhump/protoreflect/v2/protoprint"
)

// A workspace is a temporary folder for buf: the schemas of one version, buf's configuration of today, and the
// protobuf files of others that the schemas import. The latter are no part of the repository: they are printed from
// the descriptors that the Go packages register.

const (
	schemasDir    = "schemas"
	thirdPartyDir = "third_party"
)

var bufConfigs = []string{"buf.yaml", "buf.gen.yaml"}

// tools are the programs, and the folder in which the workspaces are made.
type tools struct {
	bufPath string
	binDir  string
	tmp     string
	configs map[string][]byte
}

func newTools(ctx context.Context, repo, tmp string) (*tools, error) {
	t := &tools{binDir: filepath.Join(tmp, "bin"), tmp: tmp, configs: map[string][]byte{}}
	// The plugin is built where the runtime's version is pinned.
	plugin := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(t.binDir, "protoc-gen-go"), "google.golang.org/protobuf/cmd/protoc-gen-go")
	plugin.Dir, plugin.Stderr = repo, os.Stderr
	if err := plugin.Run(); err != nil {
		return nil, fmt.Errorf("build protoc-gen-go: %w", err)
	}
	// "go tool -n" builds buf and keeps it in the build cache: two minutes the first time, then nothing.
	buf := exec.CommandContext(ctx, "go", "tool", "-n", "buf")
	buf.Dir, buf.Stderr = filepath.Join(repo, "tools"), os.Stderr
	out, err := buf.Output()
	if err != nil {
		return nil, fmt.Errorf("build buf: %w", err)
	}
	t.bufPath = strings.TrimSpace(string(out))
	for _, name := range bufConfigs {
		if t.configs[name], err = os.ReadFile(filepath.Join(repo, name)); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// buf runs buf in a workspace; what it prints goes to standard error.
func (t *tools) buf(ctx context.Context, workspace string, args ...string) error {
	cmd := exec.CommandContext(ctx, t.bufPath, args...)
	cmd.Dir = workspace
	cmd.Env = append(os.Environ(), "PATH="+t.binDir+string(os.PathListSeparator)+os.Getenv("PATH"))
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("buf %s: %w", args[0], err)
	}
	return nil
}

// workspace makes one of the schemas as they are in the working tree.
func (t *tools) workspace(repo string) (string, error) {
	files, err := filesBelow(filepath.Join(repo, schemasDir), ".proto")
	if err != nil {
		return "", err
	}
	return t.assemble(files)
}

// workspaceAt makes one of the schemas as they were at a commit.
func (t *tools) workspaceAt(ctx context.Context, repo, rev string) (string, error) {
	names, err := git(ctx, repo, "ls-tree", "-r", "--name-only", rev, "--", schemasDir)
	if err != nil {
		return "", err
	}
	files := map[string][]byte{}
	for _, name := range strings.Fields(names) {
		if !strings.HasSuffix(name, ".proto") {
			continue
		}
		content, err := git(ctx, repo, "show", rev+":"+name)
		if err != nil {
			return "", err
		}
		files[strings.TrimPrefix(name, schemasDir+"/")] = []byte(content)
	}
	return t.assemble(files)
}

func (t *tools) assemble(protos map[string][]byte) (string, error) {
	dir, err := os.MkdirTemp(t.tmp, "workspace")
	if err != nil {
		return "", err
	}
	for name, content := range t.configs {
		if err := writeFile(filepath.Join(dir, name), content); err != nil {
			return "", err
		}
	}
	for name, content := range protos {
		if err := writeFile(filepath.Join(dir, schemasDir, filepath.FromSlash(name)), content); err != nil {
			return "", err
		}
	}
	var rules bytes.Buffer
	if err := (&protoprint.Printer{}).PrintProtoFile(validate.File_buf_validate_validate_proto, &rules); err != nil {
		return "", fmt.Errorf("print %s: %w", validate.File_buf_validate_validate_proto.Path(), err)
	}
	path := filepath.Join(dir, thirdPartyDir, filepath.FromSlash(validate.File_buf_validate_validate_proto.Path()))
	return dir, writeFile(path, rules.Bytes())
}
