package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// repository is a git repository in a temporary folder.
type repository struct {
	t   *testing.T
	dir string
}

func newRepository(t *testing.T) repository {
	t.Helper()
	r := repository{t, t.TempDir()}
	r.git("init", "-q", "-b", "main")
	return r
}

func (r repository) git(args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", append([]string{"-c", "user.name=test", "-c", "user.email=test@example.com"}, args...)...)
	cmd.Dir = r.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func (r repository) write(name, content string) {
	r.t.Helper()
	if err := writeFile(filepath.Join(r.dir, name), []byte(content)); err != nil {
		r.t.Fatal(err)
	}
}

// commit writes the file and returns the hash of the commit with it.
func (r repository) commit(name, content string) string {
	r.t.Helper()
	r.write(name, content)
	r.git("add", "-A")
	r.git("commit", "-q", "-m", name)
	return r.git("rev-parse", "HEAD")
}

func (r repository) want(commits ...string) {
	r.t.Helper()
	got, err := bases(r.t.Context(), r.dir, "")
	if err != nil {
		r.t.Fatal(err)
	}
	if !slices.Equal(got, commits) {
		r.t.Errorf("bases %q, want %q", got, commits)
	}
}

const proto = "schemas/a/v1/a.proto"

func TestBases(t *testing.T) {
	t.Run("nothing committed", func(t *testing.T) {
		newRepository(t).want()
	})
	t.Run("one commit", func(t *testing.T) {
		r := newRepository(t)
		r.commit(proto, "1")
		r.want()
	})
	t.Run("shallow clone", func(t *testing.T) {
		r := newRepository(t)
		r.commit(proto, "1")
		r.commit(proto, "2")
		clone := repository{t, filepath.Join(t.TempDir(), "clone")}
		r.git("clone", "-q", "--depth", "1", "file://"+r.dir, clone.dir)
		clone.want()
	})
	t.Run("the first schemas", func(t *testing.T) {
		r := newRepository(t)
		r.commit("README.md", "1")
		r.commit(proto, "1")
		r.want()
	})
	t.Run("uncommitted change", func(t *testing.T) {
		r := newRepository(t)
		r.commit(proto, "1")
		second := r.commit(proto, "2")
		r.write(proto, "3")
		r.want(second)
	})
	t.Run("committed change", func(t *testing.T) {
		r := newRepository(t)
		first := r.commit(proto, "1")
		r.commit(proto, "2")
		r.want(first)
	})
	t.Run("release", func(t *testing.T) {
		r := newRepository(t)
		r.commit(proto, "1")
		r.git("tag", "v1.0.0")
		released := r.commit(proto, "2")
		r.git("tag", "-m", "annotated", "v1.1.0")
		second := r.commit(proto, "3")
		r.commit(proto, "4")
		r.want(released, second)
	})
	t.Run("branch", func(t *testing.T) {
		r := newRepository(t)
		r.commit(proto, "0")
		left := r.commit(proto, "1")
		r.git("switch", "-q", "-c", "feature")
		second := r.commit(proto, "2")
		r.commit("README.md", "1")
		r.want(left, second)
	})
}

func TestBasesAsked(t *testing.T) {
	r := newRepository(t)
	first := r.commit(proto, "1")
	r.commit(proto, "2")
	r.commit(proto, "3")
	got, err := bases(t.Context(), r.dir, "HEAD~2")
	if err != nil || !slices.Equal(got, []string{first}) {
		t.Errorf("bases %q, %v, want %q", got, err, first)
	}
	if _, err := bases(t.Context(), r.dir, "v9"); err == nil || !strings.Contains(err.Error(), "SCHEMAS_AGAINST=v9") {
		t.Errorf("error %v, want one that names the setting", err)
	}
}

func TestDiffering(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"same.pb.go": "1", "sub/changed.pb.go": "1", "gone.pb.go": "1", "other.go": "1"} {
		if err := writeFile(filepath.Join(dir, name), []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	committed, err := filesBelow(dir, generatedSuffix)
	if err != nil {
		t.Fatal(err)
	}
	fresh := map[string][]byte{"same.pb.go": []byte("1"), "sub/changed.pb.go": []byte("2"), "new.pb.go": []byte("1")}
	got := differing(committed, fresh)
	if want := []string{"gone.pb.go", "new.pb.go", "sub/changed.pb.go"}; !slices.Equal(got, want) {
		t.Errorf("differing %q, want %q", got, want)
	}
	if _, err := filesBelow(filepath.Join(dir, "none"), generatedSuffix); !os.IsNotExist(err) {
		t.Errorf("error %v, want that there is no such folder", err)
	}
}
