package identity

// What requests have for a body; the answers' types stand beside their handlers.

// RegistrationForm is who registers, or is registered by an operator.
type RegistrationForm struct {
	Email    string `json:"email"`
	Password string `json:"password" doc:"15 characters at least."`
	Name     string `json:"name" doc:"1 to 200 characters."`
}

// LoginForm is the first factor.
type LoginForm struct {
	Email    string `json:"email"`
	Password string `json:"password"`
}

// MFAForm is the second factor of a login.
type MFAForm struct {
	Challenge string `json:"challenge" doc:"As the login answered with it; it holds for five minutes."`
	Code      string `json:"code" doc:"A code of the authenticator app, or a recovery code. Each works once."`
}

// Challenge is the answer to the password of who has a second factor.
type Challenge struct {
	MFARequired bool     `json:"mfaRequired"`
	Challenge   string   `json:"challenge"`
	Methods     []string `json:"methods" nullable:"false"`
}

// LoginAnswer documents the answer to a login: Tokens, or a Challenge.
type LoginAnswer struct {
	AccessToken  string   `json:"accessToken,omitempty"`
	TokenType    string   `json:"tokenType,omitempty"`
	ExpiresIn    int      `json:"expiresIn,omitempty" doc:"Seconds."`
	RefreshToken string   `json:"refreshToken,omitempty"`
	MFARequired  bool     `json:"mfaRequired,omitempty" doc:"There is a second factor, and no token yet."`
	Challenge    string   `json:"challenge,omitempty"`
	Methods      []string `json:"methods,omitempty" nullable:"false"`
}

// RefreshForm asks for new tokens.
type RefreshForm struct {
	RefreshToken string `json:"refreshToken"`
}

// TokenForm is a token that a mail carried.
type TokenForm struct {
	Token string `json:"token"`
}

// EmailForm is an address.
type EmailForm struct {
	Email string `json:"email"`
}

// CodeForm is a code of an authenticator app.
type CodeForm struct {
	Code string `json:"code"`
}

// PasswordForm changes the password.
type PasswordForm struct {
	Current          string `json:"current"`
	New              string `json:"new" doc:"15 characters at least; 8 where a role demands a second factor."`
	EndOtherSessions bool   `json:"endOtherSessions,omitempty" doc:"End all sessions but this one."`
}

// NewPasswordForm replaces a password that was forgotten.
type NewPasswordForm struct {
	Token string `json:"token"`
	New   string `json:"new"`
}

// RolesForm are the roles that a user is to have.
type RolesForm struct {
	Roles []string `json:"roles" nullable:"false" doc:"admin, auditor, clerk, customer."`
}

// ReasonForm says why.
type ReasonForm struct {
	Reason string `json:"reason" doc:"A word such as reported_stolen."`
}

// Enrolment is a second factor that is to be activated.
type Enrolment struct {
	URI    string `json:"uri" doc:"For a QR code."`
	Secret string `json:"secret" doc:"The same, to be typed."`
}

// RecoveryCodes stand for the second factor, each once.
type RecoveryCodes struct {
	RecoveryCodes []string `json:"recoveryCodes" nullable:"false"`
}

// Sessions are a user's own.
type Sessions struct {
	Items []Session `json:"items" nullable:"false"`
}

// Nothing is an empty object.
type Nothing struct{}
