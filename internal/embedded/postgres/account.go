//go:build unix

package postgres

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// account is the unprivileged user that the server runs as when this process is root, which PostgreSQL
// refuses to be; nil when the server runs as this process's own user.
type account struct {
	name     string
	uid, gid uint32
}

// chooseAccount returns the owner of an existing PGDATA, else "postgres" or "nobody".
func chooseAccount(pgdata string) (*account, error) {
	info, err := os.Stat(pgdata)
	exists := err == nil
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if os.Geteuid() != 0 {
		if exists && info.Sys().(*syscall.Stat_t).Uid != uint32(os.Geteuid()) {
			return nil, fmt.Errorf("%s belongs to user %d: run as that user, or remove the directory (it is rebuilt from the log)",
				pgdata, info.Sys().(*syscall.Stat_t).Uid)
		}
		return nil, nil
	}
	if exists {
		if st := info.Sys().(*syscall.Stat_t); st.Uid != 0 {
			return &account{name: strconv.Itoa(int(st.Uid)), uid: st.Uid, gid: st.Gid}, nil
		}
		return nil, fmt.Errorf("%s belongs to root, who must not run PostgreSQL: remove the directory (it is rebuilt from the log)", pgdata)
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("user %s: %w", name, err)
		}
		return &account{name: name, uid: uint32(uid), gid: uint32(gid)}, nil
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is no user postgres or nobody to run it as: " +
		"make one, or start as another user")
}

func (a *account) credential() *syscall.Credential {
	if a == nil {
		return nil
	}
	return &syscall.Credential{Uid: a.uid, Gid: a.gid}
}

// own gives path to the account.
func (a *account) own(path string) error {
	if a == nil {
		return nil
	}
	return os.Chown(path, int(a.uid), int(a.gid))
}

// String is for messages.
func (a *account) String() string {
	if a == nil {
		return "this user"
	}
	return "user " + a.name
}
