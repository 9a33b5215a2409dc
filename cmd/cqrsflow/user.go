package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/services/identity"
)

// userCmd goes through the operations port of a process with the role identity: keys of users stay where they are.
type userCmd struct {
	Create userCreateCmd `cmd:"" help:"Make a user whose e-mail address nobody has to confirm, such as the first administrator."`
	List   userListCmd   `cmd:"" help:"List users, the latest first."`
	Roles  userRolesCmd  `cmd:"" help:"Replace the roles of a user. They count at once."`
	Lock   userLockCmd   `cmd:"" help:"Keep a user out, and end the user's sessions."`
	Unlock userUnlockCmd `cmd:"" help:"Let a user in again who was locked, or is out of attempts."`
	Forget userForgetCmd `cmd:"" help:"Erase a user for good: delete the key that everything personal is encrypted with. Prints a receipt."`
}

func newUserCmd() userCmd {
	f := func() userFlags { return userFlags{Settings: newSettings("General", "Client")} }
	one := func() oneUserFlags { return oneUserFlags{userFlags: f()} }
	return userCmd{Create: userCreateCmd{userFlags: f()}, List: userListCmd{userFlags: f()}, Roles: userRolesCmd{oneUserFlags: one()},
		Lock: userLockCmd{oneUserFlags: one()}, Unlock: userUnlockCmd{oneUserFlags: one()}, Forget: userForgetCmd{oneUserFlags: one()}}
}

type userFlags struct {
	outputFlags
	Settings settings `embed:""`
}

// ops finds the operations port of a process with the role identity.
func (f *userFlags) ops(e *environment, what string) (client, error) {
	s, err := f.Settings.find(e, what, "ops.url", "token")
	if err != nil {
		return client{}, err
	}
	return client{base: s.Client.OpsURL, setting: "ops.url", token: s.Client.Token}, nil
}

// oneUserFlags are those of commands about one user.
type oneUserFlags struct {
	userFlags
	User string `arg:"" help:"The user's ID, as 'user list' shows it."`
}

// act posts about the user.
func (f *oneUserFlags) act(e *environment, what string, in, out any) error {
	if _, err := event.ParseStreamID(f.User); err != nil {
		return usageError{fmt.Errorf("the user's ID: %w; `cqrsflow user list` shows IDs", err)}
	}
	api, err := f.ops(e, "user "+what)
	if err != nil {
		return err
	}
	if err := api.post(e.ctx, "/users/"+url.PathEscape(f.User)+"/"+what, in, out); err != nil || out != nil {
		return err
	}
	return f.print(e, map[string]string{"user": f.User, "done": what}, func(w io.Writer) { fmt.Fprintf(w, "%s: done\n", f.User) })
}

type userCreateCmd struct {
	userFlags
	Email         string   `arg:"" help:"The e-mail address."`
	Name          string   `required:"" help:"The name."`
	Roles         []string `help:"Roles: admin, auditor, clerk, customer."`
	PasswordStdin bool     `name:"password-stdin" help:"Read the password from standard input. Without it one is made, and printed."`
}

func (c *userCreateCmd) Run(e *environment) error {
	api, err := c.ops(e, "user create")
	if err != nil {
		return err
	}
	made := struct {
		ID       string `json:"id"`
		Password string `json:"password,omitempty"`
	}{Password: rand.Text()}
	plain := made.Password
	if c.PasswordStdin {
		b, err := io.ReadAll(io.LimitReader(e.stdin, 64<<10))
		if err != nil {
			return fmt.Errorf("read the password: %w", err)
		}
		plain, made.Password = strings.TrimRight(string(b), "\r\n"), ""
		if plain == "" {
			return usageError{errors.New("there is no password on standard input")}
		}
	}
	in := map[string]any{"email": c.Email, "name": c.Name, "password": plain, "roles": c.Roles}
	if err := api.post(e.ctx, "/users", in, &made); err != nil {
		return err
	}
	return c.print(e, made, func(w io.Writer) {
		fmt.Fprintf(w, "user\t%s\n", made.ID)
		if made.Password != "" {
			fmt.Fprintf(w, "password\t%s\n", made.Password)
		}
	})
}

type userListCmd struct {
	userFlags
}

func (c *userListCmd) Run(e *environment) error {
	api, err := c.ops(e, "user list")
	if err != nil {
		return err
	}
	all := []identity.User{}
	for query := (url.Values{"limit": {"200"}}); ; {
		var page identity.Users
		if err := api.call(e.ctx, http.MethodGet, "/users", query, nil, &page); err != nil {
			return err
		}
		all = append(all, page.Items...)
		if page.Cursor == "" {
			break
		}
		query.Set("cursor", page.Cursor)
	}
	return c.print(e, all, func(w io.Writer) {
		fmt.Fprintln(w, "USER\tE-MAIL\tSTATUS\tROLES\tTOTP\tREGISTERED")
		for _, u := range all {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%t\t%s\n", u.ID, u.Email, u.Status, strings.Join(u.Roles, ","), u.TOTP, u.RegisteredAt.UTC().Format("2006-01-02T15:04:05Z"))
		}
	})
}

type userRolesCmd struct {
	oneUserFlags
	Roles []string `arg:"" optional:"" help:"The roles: admin, auditor, clerk, customer; none takes all away."`
}

func (c *userRolesCmd) Run(e *environment) error {
	return c.act(e, "roles", map[string]any{"roles": append([]string{}, c.Roles...)}, nil)
}

type userLockCmd struct {
	oneUserFlags
	Reason string `default:"locked_by_operator" help:"Why, in a word such as reported_stolen."`
}

func (c *userLockCmd) Run(e *environment) error {
	return c.act(e, "lock", map[string]string{"reason": c.Reason}, nil)
}

type userUnlockCmd struct{ oneUserFlags }

func (c *userUnlockCmd) Run(e *environment) error { return c.act(e, "unlock", struct{}{}, nil) }

type userForgetCmd struct {
	oneUserFlags
	Yes bool `help:"Required: there is no way back."`
}

func (c *userForgetCmd) Run(e *environment) error {
	if !c.Yes {
		return usageError{fmt.Errorf("nobody can undo this: `cqrsflow user forget %s --yes` does it", c.User)}
	}
	var r identity.Receipt
	if err := c.act(e, "forget", struct{}{}, &r); err != nil {
		return err
	}
	return c.print(e, r, func(w io.Writer) {
		fmt.Fprintf(w, "user\t%s\nerased\t%s\nkey deleted\t%s\naddresses released\t%d\nsessions revoked\t%d\n", r.User, r.ErasedAt.Format("2006-01-02T15:04:05.000Z"),
			r.KeyDeletedAt.Format("2006-01-02T15:04:05.000Z"), r.ClaimsReleased, r.SessionsRevoked)
		if r.Again {
			fmt.Fprintln(w, "The key had been deleted before.")
		}
	})
}
