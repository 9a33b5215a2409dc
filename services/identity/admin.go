package identity

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/secret"
	"github.com/cqrsflow/cqrsflow/query"
	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
)

// roleAdmin is who may look after users.
const roleAdmin = "admin"

// OperatorPaths are the prefixes and paths that Operator serves.
var OperatorPaths = []string{"/users", "/users/"}

// Operator is what an operator does with users, as an administrator does and without being a user: the first one has to come
// from somewhere. It asks nobody who they are. Whoever mounts it does.
func (s *Service) Operator() http.Handler {
	routes := []route{
		{method: http.MethodGet, path: "/users", handle: s.listUsers},
		{method: http.MethodPost, path: "/users", handle: s.createUser},
		{method: http.MethodGet, path: "/users/{id}", handle: s.getUser},
		{method: http.MethodPost, path: "/users/{id}/roles", handle: s.setRoles},
		{method: http.MethodPost, path: "/users/{id}/lock", handle: s.lockUser},
		{method: http.MethodPost, path: "/users/{id}/unlock", handle: s.unlockUser},
		{method: http.MethodPost, path: "/users/{id}/forget", handle: s.forgetUser},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, match(routes, r)) })
}

// User is a user as administrators see them.
type User struct {
	ID string `json:"id"`
	// Status is registered, active, locked, disabled or erased; Reason says why a user is locked or disabled.
	Status string `json:"status"`
	Reason string `json:"reason,omitempty"`
	// Email and Name are empty where the user was forgotten.
	Email        string     `json:"email,omitempty"`
	Name         string     `json:"name,omitempty"`
	Roles        []string   `json:"roles"`
	TOTP         bool       `json:"totp"`
	RegisteredAt time.Time  `json:"registeredAt"`
	ConfirmedAt  *time.Time `json:"confirmedAt,omitempty"`
	LastLoginAt  *time.Time `json:"lastLoginAt,omitempty"`
	ErasedAt     *time.Time `json:"erasedAt,omitempty"`
}

// Users is a page of users.
type Users struct {
	Items []User `json:"items"`
	// Cursor asks for the next page; there is none at the end.
	Cursor string `json:"cursor,omitempty"`
}

const (
	pageDefault = 50
	pageMost    = 200
)

// listUsers is GET /v1/users: the latest first.
func (s *Service) listUsers(c *call) error {
	limit, q := pageDefault, c.r.URL.Query()
	for name := range q {
		if name != "limit" && name != "cursor" {
			return malformed("There is a parameter that is not known.", event.FieldError{Field: "limit, cursor", Message: "there are no other parameters"})
		}
	}
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > pageMost {
			return malformed("The limit is wrong.", event.FieldError{Field: "limit", Message: "must be from 1 to " + strconv.Itoa(pageMost)})
		}
		limit = n
	}
	page, err := s.cfg.Accounts.Users(c.ctx, limit, q.Get("cursor"))
	switch {
	case errors.Is(err, query.ErrBadCursor):
		return malformed("The cursor is not one of this list.", event.FieldError{Field: "cursor", Message: "must be from the page before"})
	case err != nil:
		return err
	}
	out := Users{Items: []User{}, Cursor: page.Cursor}
	for _, row := range page.Items {
		u, err := s.shown(c.ctx, row)
		if err != nil {
			return err
		}
		out.Items = append(out.Items, u)
	}
	return c.write(http.StatusOK, out)
}

// getUser is GET /v1/users/{id}.
func (s *Service) getUser(c *call) error {
	row, err := s.cfg.Accounts.User(c.ctx, c.r.PathValue("id"))
	switch {
	case errors.Is(err, event.ErrNotFound):
		return noUser()
	case err != nil:
		return err
	}
	u, err := s.shown(c.ctx, row)
	if err != nil {
		return err
	}
	return c.write(http.StatusOK, u)
}

func (s *Service) shown(ctx context.Context, row query.User) (u User, err error) {
	u = User{ID: row.ID, Status: row.Status, Reason: row.Reason, Roles: row.Roles, TOTP: row.TOTP, RegisteredAt: row.RegisteredAt, ConfirmedAt: row.ConfirmedAt,
		LastLoginAt: row.LastLoginAt, ErasedAt: row.ErasedAt}
	if u.Email, err = s.text(ctx, row.ID, fieldEmail, row.Email); err != nil {
		return u, err
	}
	u.Name, err = s.text(ctx, row.ID, fieldName, row.Name)
	return u, err
}

// createUser makes a user whose address nobody has to confirm.
func (s *Service) createUser(c *call) error {
	var in struct {
		Email, Name, Password string
		Roles                 []string
	}
	if err := c.read(&in); err != nil {
		return err
	}
	r := Registration{Email: in.Email, Name: strings.TrimSpace(in.Name), Password: secret.Of(in.Password), Roles: in.Roles}
	if _, err := s.checkRegistration(r); err != nil {
		return err
	}
	if err := checkRoles(r.Roles); err != nil {
		return err
	}
	id, existed, err := s.CreateUser(c.ctx, r)
	switch {
	case err != nil:
		return err
	case existed:
		return newProblem(http.StatusConflict, codeEmailClaimed, "E-mail address claimed", "The address is the user's "+id+".")
	}
	s.administered(c, "created", id)
	return c.write(http.StatusCreated, map[string]string{"id": id})
}

// setRoles is POST /v1/users/{id}/roles. They count at once, in sessions that there are as well.
func (s *Service) setRoles(c *call) error {
	var in RolesForm
	if err := c.read(&in); err != nil {
		return err
	}
	if err := checkRoles(in.Roles); err != nil {
		return err
	}
	return s.administer(c, "roles set", &userv1.SetRoles{Roles: in.Roles})
}

// checkRoles refuses what cannot be a set of roles; which there are the aggregate knows.
func checkRoles(roles []string) error {
	seen := map[string]bool{}
	for _, role := range roles {
		if !isWord(role) || len(role) > 32 || seen[role] || len(roles) > 16 {
			return invalid(event.FieldError{Field: "roles", Message: "must be at most 16 words of 1 to 32 of the characters a-z 0-9 _, each once"})
		}
		seen[role] = true
	}
	return nil
}

// lockUser is POST /v1/users/{id}/lock. It ends all sessions.
func (s *Service) lockUser(c *call) error {
	var in ReasonForm
	if err := c.read(&in); err != nil {
		return err
	}
	if !isWord(in.Reason) {
		return invalid(event.FieldError{Field: "reason", Message: "must be a word such as reported_stolen: 1 to 64 of the characters a-z 0-9 _"})
	}
	if err := s.administer(c, "locked", &userv1.LockUser{Reason: in.Reason}); err != nil {
		return err
	}
	s.endSessionsLater(c.r.PathValue("id"), "", "locked")
	return nil
}

func isWord(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// unlockUser is POST /v1/users/{id}/unlock. It helps as well who is out of attempts.
func (s *Service) unlockUser(c *call) error {
	return s.administer(c, "unlocked", &userv1.UnlockUser{})
}

// administer has a command about a user decided.
func (s *Service) administer(c *call, what string, body proto.Message) error {
	id := c.r.PathValue("id")
	if event.CheckStreamID(id) != nil {
		return noUser()
	}
	if _, err := s.do(c.ctx, userType, id, body, nil); err != nil {
		return administration(err)
	}
	s.administered(c, what, id)
	return c.done()
}

// administered notes who has done what with whom.
func (s *Service) administered(c *call, what, user string) {
	by := []any{"by", "operator"}
	if c.caller != nil {
		by = []any{"by", c.caller.User, "session", c.caller.Session}
	}
	s.cfg.Logger.Info("user administered", append([]any{"what", what, "user", user}, by...)...)
}

// administration says to administrators what others do not hear.
func administration(err error) error {
	switch rejected(err) {
	case codeUserNotFound:
		return noUser()
	case codeUserErased:
		return userErased()
	case codeUserDisabled:
		return userDisabled()
	}
	return err
}

func noUser() *problem { return notFound("There is no such user.") }
