//go:build unix

package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// binaries is an installation of PostgreSQL: a directory with initdb and postgres.
type binaries struct {
	dir     string
	version string // as in "15.18"
	major   int
}

func (b *binaries) path(program string) string { return filepath.Join(b.dir, program) }

// places are where installations are, besides PATH: one directory a version.
var places = []string{
	"/usr/lib/postgresql/*/bin",                          // Debian, Ubuntu
	"/usr/pgsql-*/bin",                                   // PostgreSQL's own packages for Red Hat and others
	"/usr/libexec/postgresql*",                           // Alpine
	"/usr/lib/postgresql*/bin",                           // SUSE, Gentoo
	"/opt/homebrew/opt/postgresql@*/bin",                 // Homebrew
	"/usr/local/opt/postgresql@*/bin",                    // Homebrew on Intel
	"/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",    // Homebrew on Linux
	"/Applications/Postgres.app/Contents/Versions/*/bin", // Postgres.app
	"/Library/PostgreSQL/*/bin",                          // EDB's installer on macOS
	"/opt/local/lib/postgresql*/bin",                     // MacPorts
	"/usr/local/pgsql/bin",                               // from source
}

// findBinaries returns an installation that the cluster's user can run and whose version fits: the one of
// an existing cluster, else any from MinVersion on. The configured one comes first and alone; then PATH,
// then the newest of the usual places, then a fetched one.
func findBinaries(ctx context.Context, cfg Config, cl *cluster, logger *slog.Logger) (*binaries, error) {
	var rejected []string
	fits := func(dir string) *binaries {
		b, err := inspect(ctx, dir, cl.account)
		switch {
		case err != nil:
			rejected = append(rejected, fmt.Sprintf("%s: %v", dir, err))
		case b.major < MinVersion:
			rejected = append(rejected, fmt.Sprintf("%s: version %s, at least %d is needed", dir, b.version, MinVersion))
		case cl.exists() && b.major != cl.major:
			rejected = append(rejected, fmt.Sprintf("%s: version %s", dir, b.version))
		default:
			return b
		}
		return nil
	}

	if cfg.Binaries != "" {
		dir := cfg.Binaries
		if _, err := os.Stat(filepath.Join(dir, "bin", "postgres")); err == nil {
			dir = filepath.Join(dir, "bin")
		}
		if b := fits(dir); b != nil {
			return b, nil
		}
		return nil, cl.noBinaries(rejected, nil)
	}
	for _, dir := range localDirs() {
		if b := fits(dir); b != nil {
			return b, nil
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if cl.exists() && cl.major != downloadMajor {
		return nil, cl.noBinaries(rejected, nil)
	}
	dir, err := fetched(ctx, cfg.CacheDir, cl.account, logger)
	if err != nil {
		return nil, cl.noBinaries(rejected, err)
	}
	if b := fits(dir); b != nil {
		return b, nil
	}
	return nil, cl.noBinaries(rejected, nil)
}

// noBinaries is the error that says what was tried and what helps.
func (cl *cluster) noBinaries(rejected []string, fetchErr error) error {
	var msg strings.Builder
	for _, r := range rejected {
		fmt.Fprintf(&msg, "\n  %s", r)
	}
	if fetchErr != nil {
		fmt.Fprintf(&msg, "\n  fetching PostgreSQL %d: %v", downloadMajor, fetchErr)
	}
	if cl.exists() {
		return fmt.Errorf("%w: %s was made by version %d. Install that version, or remove the directory (it is rebuilt from the log), "+
			"or use a server of your own with --postgres-url or CQRSFLOW_POSTGRES_URL.%s", ErrOtherVersion, cl.pgdata, cl.major, msg.String())
	}
	return fmt.Errorf("%w: install PostgreSQL %d or later (Debian, Ubuntu: apt install postgresql; macOS: brew install postgresql@18), "+
		"or use a server of your own with --postgres-url or CQRSFLOW_POSTGRES_URL; CQRSFLOW_POSTGRES_REPOSITORY names "+
		"another Maven repository to fetch it from.%s", ErrNoBinaries, MinVersion, msg.String())
}

// localDirs lists the directories with a postgres: PATH's first, then the newest first.
func localDirs() []string {
	var dirs []string
	if path, err := exec.LookPath("postgres"); err == nil {
		// A link, as packages make them, points to where initdb and the rest are.
		if path, err = filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(path))
		}
	}
	var found []string
	for _, pattern := range places {
		matches, _ := filepath.Glob(pattern) // fails for a bad pattern alone
		for _, dir := range matches {
			if _, err := os.Stat(filepath.Join(dir, "postgres")); err == nil {
				found = append(found, dir)
			}
		}
	}
	slices.SortStableFunc(found, func(a, b string) int { return cmp.Compare(pathVersion(b), pathVersion(a)) })
	for _, dir := range found {
		if real, err := filepath.EvalSymlinks(dir); err == nil && !slices.Contains(dirs, real) {
			dirs = append(dirs, real)
		}
	}
	return dirs
}

var number = regexp.MustCompile(`\d+`)

// pathVersion is the version that a directory's path names; 0 for none.
func pathVersion(dir string) int {
	v, _ := strconv.Atoi(number.FindString(strings.TrimSuffix(dir, "/bin")[strings.LastIndex(strings.TrimSuffix(dir, "/bin"), "/")+1:]))
	return v
}

var versionLine = regexp.MustCompile(`^postgres \(PostgreSQL\) ((\d+)\S*)`)

// inspect asks postgres for its version, as the account, which shows that the account can run it.
func inspect(ctx context.Context, dir string, acc *account) (*binaries, error) {
	b := &binaries{dir: dir}
	for _, program := range []string{"initdb", "postgres"} {
		if _, err := os.Stat(b.path(program)); err != nil {
			return nil, errors.New("no " + program)
		}
	}
	cmd := exec.CommandContext(ctx, b.path("postgres"), "--version")
	cmd.Dir, cmd.Env = "/", environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: acc.credential()}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("run as %s: %w %s", acc, err, lastLines(string(out), 2))
	}
	m := versionLine.FindStringSubmatch(string(out))
	if m == nil {
		return nil, fmt.Errorf("unknown version: %s", lastLines(string(out), 1))
	}
	b.version = m[1]
	b.major, _ = strconv.Atoi(m[2]) // digits
	return b, nil
}
