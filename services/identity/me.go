package identity

import (
	"net/http"
	"time"
)

// Me is a user as they see themselves.
type Me struct {
	ID    string `json:"id"`
	Email string `json:"email"`
	Name  string `json:"name"`
	// Roles are those of this session: a user whose roles demand a second factor has none in a session without one.
	Roles []string `json:"roles"`
	MFA   struct {
		Required          bool `json:"required"`
		TOTP              bool `json:"totp"`
		RecoveryCodesLeft int  `json:"recoveryCodesLeft"`
	} `json:"mfa"`
	RegisteredAt time.Time `json:"registeredAt"`
	Session      struct {
		ID              string    `json:"id"`
		Methods         []string  `json:"methods"`
		AuthenticatedAt time.Time `json:"authenticatedAt"`
		ExpiresAt       time.Time `json:"expiresAt"`
	} `json:"session"`
}

// me is GET /v1/me.
func (s *Service) me(c *call) error {
	u, session := c.caller.user, c.caller.session
	m := Me{ID: c.caller.User, Roles: s.effectiveRoles(u, session.GetMethods()), RegisteredAt: u.GetRegisteredAt().AsTime()}
	if m.Roles == nil {
		m.Roles = []string{}
	}
	var err error
	if m.Email, err = s.text(c.ctx, c.caller.User, fieldEmail, u.GetEmail()); err != nil {
		return err
	}
	if m.Name, err = s.text(c.ctx, c.caller.User, fieldName, u.GetName()); err != nil {
		return err
	}
	m.MFA.Required, m.MFA.TOTP, m.MFA.RecoveryCodesLeft = u.GetMfaRequired(), u.GetTotp().GetActive(), len(u.GetRecoveryCodes())
	m.Session.ID, m.Session.Methods = c.caller.Session, session.GetMethods()
	m.Session.AuthenticatedAt, m.Session.ExpiresAt = session.GetAuthenticatedAt().AsTime(), session.GetIdleExpiresAt().AsTime()
	return c.write(http.StatusOK, m)
}
