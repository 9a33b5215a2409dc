//go:build unix

package postgres

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// fakeInstallation makes a directory with programs that print the version and do nothing else.
func fakeInstallation(t *testing.T, version string) string {
	t.Helper()
	base := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(base), 0o755)) // the server's user has to get there
	major, _, _ := strings.Cut(version, ".")
	dir := filepath.Join(base, major, "bin")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	script := "#!/bin/sh\necho 'postgres (PostgreSQL) " + version + "'\n"
	for _, program := range []string{"postgres", "initdb"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, program), []byte(script), 0o755))
	}
	return dir
}

// noLocal hides what is installed on this machine, except dirs.
func noLocal(t *testing.T, dirs ...string) {
	t.Helper()
	before := places
	t.Cleanup(func() { places = before })
	places = dirs
	t.Setenv("PATH", t.TempDir())
}

func testCluster(t *testing.T) *cluster {
	t.Helper()
	cl, err := openCluster(t.TempDir())
	require.NoError(t, err)
	return cl
}

func TestBinariesOrder(t *testing.T) {
	old, v15, v16 := fakeInstallation(t, "14.9"), fakeInstallation(t, "15.3 (Debian 15.3-1)"), fakeInstallation(t, "16.1")
	cl := testCluster(t)

	noLocal(t, old, v15, v16)
	bin, err := findBinaries(testContext(t), Config{}, cl, quiet)
	require.NoError(t, err)
	require.Equal(t, binaries{dir: v16, version: "16.1", major: 16}, *bin, "the newest")

	t.Setenv("PATH", v15+":/bin:/usr/bin")
	bin, err = findBinaries(testContext(t), Config{}, cl, quiet)
	require.NoError(t, err)
	require.Equal(t, binaries{dir: v15, version: "15.3", major: 15}, *bin, "PATH comes first")

	t.Setenv("PATH", old+":/bin:/usr/bin")
	bin, err = findBinaries(testContext(t), Config{}, cl, quiet)
	require.NoError(t, err)
	require.Equal(t, v16, bin.dir, "14 is too old")

	cl.major = 15
	bin, err = findBinaries(testContext(t), Config{}, cl, quiet)
	require.NoError(t, err)
	require.Equal(t, v15, bin.dir, "an existing cluster needs its own version")

	bin, err = findBinaries(testContext(t), Config{Binaries: v15}, cl, quiet)
	require.NoError(t, err)
	require.Equal(t, v15, bin.dir)

	cl.major = 13
	_, err = findBinaries(testContext(t), Config{}, cl, quiet)
	require.ErrorIs(t, err, ErrOtherVersion)
	require.ErrorContains(t, err, "made by version 13")
	require.ErrorContains(t, err, v16+": version 16.1")
	require.ErrorContains(t, err, "CQRSFLOW_POSTGRES_URL")
}

func TestPathVersion(t *testing.T) {
	for dir, want := range map[string]int{
		"/usr/lib/postgresql/15/bin":                              15,
		"/usr/pgsql-16/bin":                                       16,
		"/usr/libexec/postgresql17":                               17,
		"/opt/homebrew/opt/postgresql@18/bin":                     18,
		"/Applications/Postgres.app/Contents/Versions/latest/bin": 0,
	} {
		require.Equal(t, want, pathVersion(dir), dir)
	}
}

func TestConfiguredBinariesStandAlone(t *testing.T) {
	dir := t.TempDir()
	_, err := findBinaries(testContext(t), Config{Binaries: dir}, testCluster(t), quiet)
	require.ErrorIs(t, err, ErrNoBinaries)
	require.ErrorContains(t, err, dir+": no initdb")
}

// repository serves jars the way a Maven repository does.
func repository(t *testing.T, corrupt bool) *httptest.Server {
	t.Helper()
	txz, err := os.ReadFile("testdata/fake-server.txz")
	require.NoError(t, err)
	var jar bytes.Buffer
	z := zip.NewWriter(&jar)
	f, err := z.Create("postgres.txz")
	require.NoError(t, err)
	_, err = f.Write(txz)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	sum := sha256.Sum256(jar.Bytes())
	if corrupt {
		sum[0]++
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch base := path.Base(r.URL.Path); {
		case !strings.HasPrefix(r.URL.Path, "/maven/io/zonky/test/postgres/embedded-postgres-binaries-"):
			http.NotFound(w, r)
		case strings.HasSuffix(base, ".jar"):
			_, _ = w.Write(jar.Bytes())
		case strings.HasSuffix(base, ".jar.sha256"):
			_, _ = w.Write([]byte(hex.EncodeToString(sum[:])))
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	return srv
}

func TestFetch(t *testing.T) {
	noLocal(t)
	t.Setenv("PATH", "/bin:/usr/bin:"+os.Getenv("PATH")) // for the scripts' shell; it has no postgres
	srv := repository(t, false)
	t.Setenv(RepositoryEnv, srv.URL+"/maven")
	cache := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(cache), 0o755))

	bin, err := findBinaries(testContext(t), Config{CacheDir: cache}, testCluster(t), quiet)
	require.NoError(t, err)
	require.Equal(t, "18.3", bin.version)
	link, err := os.Readlink(filepath.Join(filepath.Dir(bin.dir), "lib", "libpq.so.5"))
	require.NoError(t, err)
	require.Equal(t, "libpq.so.5.18", link)
	entries, err := os.ReadDir(cache)
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing but the binaries is left in the cache")

	srv.Close() // the second time is from the cache
	again, err := findBinaries(testContext(t), Config{CacheDir: cache}, testCluster(t), quiet)
	require.NoError(t, err)
	require.Equal(t, bin, again)
}

func TestFetchFails(t *testing.T) {
	noLocal(t)
	for name, url := range map[string]string{
		"corrupt":     repository(t, true).URL + "/maven",
		"not there":   repository(t, false).URL + "/elsewhere",
		"unreachable": "http://127.0.0.1:1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(RepositoryEnv, url)
			cache := t.TempDir()
			_, err := Start(testContext(t), Config{DataDir: t.TempDir(), CacheDir: cache, Logger: quiet})
			require.ErrorIs(t, err, ErrNoBinaries)
			for _, help := range []string{"install PostgreSQL 15 or later", "--postgres-url", "CQRSFLOW_POSTGRES_URL", "fetching PostgreSQL 18"} {
				require.ErrorContains(t, err, help)
			}
			entries, err := os.ReadDir(cache)
			require.NoError(t, err)
			require.Empty(t, entries)
		})
	}
}
