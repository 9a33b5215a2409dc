package devfile

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFind(t *testing.T) {
	dir := t.TempDir()
	if f, err := Find(dir); f != nil || err != nil {
		t.Errorf("nothing there: %v, %v", f, err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	want := File{PID: 1, Server: "http://127.0.0.1:8080", Ops: "http://" + l.Addr().String(), Kafka: "127.0.0.1:9092", Prefix: "cqrsflow",
		Postgres: "postgres://x/y", Token: "t", Started: time.Unix(1, 0).UTC()}
	if err := Write(dir, want); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, Name)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
	got, err := Find(dir)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(&want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if s := got.Settings(); s["server"] != want.Server || s["token"] != "t" {
		t.Errorf("settings %v", s)
	}
	_ = l.Close()
	if f, err := Find(dir); f != nil || err != nil {
		t.Errorf("left behind by a dev that is gone: %v, %v", f, err)
	}
	for range 2 {
		if err := Remove(dir); err != nil {
			t.Error(err)
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("left in the directory: %v", entries)
	}
	if err := os.WriteFile(filepath.Join(dir, Name), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(dir); err == nil {
		t.Error("half a file was taken")
	}
}
