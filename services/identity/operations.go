package identity

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/cqrsflow/cqrsflow/services/apidoc"
)

// What the operations' examples have.
var (
	exampleTime   = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	exampleTokens = Tokens{AccessToken: "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiI3YjQ2In0.c2lnbmF0dXJl", TokenType: "Bearer", ExpiresIn: 300,
		RefreshToken: "cqrt_ZQ0nJ2Y.2f6c8a94"}
	exampleCodes = RecoveryCodes{RecoveryCodes: []string{"k7mw2-9xqrt-4hp6d"}}
	exampleUser  = User{ID: "7b46d1e2", Status: "active", Email: "ada@example.org", Name: "Ada", Roles: []string{ownRole}, TOTP: true, RegisteredAt: exampleTime}
)

const (
	exampleEmail     = "ada@example.org"
	examplePassword  = "seven lamps over the quay"
	exampleToken     = "Zb0nJ2Y.7b46d1e2"
	exampleCode      = "492039"
	exampleChallenge = "a.c2VhbGVk"
)

// passwordProblems are why a new password is not taken.
var passwordProblems = []string{"password_too_short", "password_too_long", "password_common", "password_context", "password_not_text"}

const (
	tagAuth  = "auth"
	tagUsers = "users"
)

// described says of each route what route does not: in the order and under the names of the document.
func described() []apidoc.Operation {
	const get, post, del = http.MethodGet, http.MethodPost, http.MethodDelete
	me := Me{ID: "7b46d1e2", Email: exampleEmail, Name: "Ada", Roles: []string{ownRole}, RegisteredAt: exampleTime}
	me.Session.ID, me.Session.Methods, me.Session.AuthenticatedAt, me.Session.ExpiresAt = "2f6c8a94", []string{factorPassword}, exampleTime, exampleTime.Add(time.Hour)
	return []apidoc.Operation{
		{Method: post, Path: "/v1/auth/register", ID: "register", Summary: "Register", About: "The answer is the same whether the address is free or not; its owner gets a mail.",
			Body: RegistrationForm{exampleEmail, examplePassword, "Ada"}, Status: 202, Answer: Nothing{}, Problems: append([]string{"invalid_request"}, passwordProblems...)},
		{Method: post, Path: "/v1/auth/confirm", ID: "confirmEmail", Summary: "Confirm the address", About: "With the token of the mail. It can be repeated.",
			Body: TokenForm{exampleToken}, Status: 204, Problems: []string{"token_invalid", "token_expired"}},
		{Method: post, Path: "/v1/auth/login", ID: "login", Summary: "Log in", About: "With tokens, or, where there is a second factor, with a challenge. Who does not exist is answered like who gave a wrong password.",
			Body: LoginForm{exampleEmail, examplePassword}, Status: 200, Answer: LoginAnswer{AccessToken: exampleTokens.AccessToken, TokenType: "Bearer", ExpiresIn: 300, RefreshToken: exampleTokens.RefreshToken},
			Problems: []string{"invalid_credentials", codeEmailNotConfirmed, "invalid_request", codeTooManyAttempts}},
		{Method: post, Path: "/v1/auth/mfa", ID: "loginSecondFactor", Summary: "Log in with the second factor", Body: MFAForm{exampleChallenge, exampleCode}, Status: 200, Answer: exampleTokens,
			Problems: []string{"invalid_credentials", "challenge_invalid", "invalid_request", codeTooManyAttempts}},
		{Method: post, Path: "/v1/auth/refresh", ID: "refreshTokens", Summary: "Refresh tokens", About: "A refresh token works once; within ten seconds a retry gets the same answer. An older one ends the session.",
			Body: RefreshForm{exampleTokens.RefreshToken}, Status: 200, Answer: exampleTokens, Problems: []string{"refresh_token_invalid"}},
		{Method: post, Path: "/v1/auth/logout", ID: "logout", Summary: "End this session", Status: 204},
		{Method: get, Path: "/v1/auth/sessions", ID: "listSessions", Summary: "List the own sessions", Status: 200,
			Answer: Sessions{[]Session{{ID: "2f6c8a94", Current: true, Device: "curl/8", Methods: []string{factorPassword}, StartedAt: exampleTime, LastSeen: exampleTime, ExpiresAt: exampleTime.Add(time.Hour)}}}},
		{Method: del, Path: "/v1/auth/sessions/{id}", ID: "endSession", Summary: "End an own session", Status: 204, Problems: []string{"not_found"}},
		{Method: get, Path: "/v1/me", ID: "getMe", Summary: "Who am I", Status: 200, Answer: me},
		{Method: post, Path: "/v1/auth/mfa/totp", ID: "enrolTotp", Summary: "Begin a second factor", About: "It is none before it is activated.", Status: 200,
			Answer:   Enrolment{"otpauth://totp/Shop:ada%40example.org?secret=JBSWY3DPEHPK3PXP", "JBSWY3DPEHPK3PXP"},
			Problems: []string{"reauthentication_required", "totp_already_active"}},
		{Method: post, Path: "/v1/auth/mfa/totp/activate", ID: "activateTotp", Summary: "Activate the second factor", About: "Keep the recovery codes: they are not shown again.", Body: CodeForm{exampleCode}, Status: 200,
			Answer: exampleCodes, Problems: []string{"reauthentication_required", "totp_not_enrolled", "totp_already_active", "totp_enrolment_expired", "totp_code_invalid", "totp_code_used"}},
		{Method: del, Path: "/v1/auth/mfa/totp", ID: "removeTotp", Summary: "Remove the second factor", Status: 204, Problems: []string{"reauthentication_required", "totp_not_active", "mfa_required"}},
		{Method: post, Path: "/v1/auth/mfa/recovery-codes", ID: "replaceRecoveryCodes", Summary: "Replace the recovery codes", Status: 200, Answer: exampleCodes,
			Problems: []string{"reauthentication_required", "totp_not_active"}},
		{Method: post, Path: "/v1/auth/password", ID: "changePassword", Summary: "Change the password", Body: PasswordForm{examplePassword, "nine bells under the pier", true}, Status: 204,
			Problems: append([]string{"invalid_credentials", "invalid_request", codeTooManyAttempts}, passwordProblems...)},
		{Method: post, Path: "/v1/auth/password/reset", ID: "requestPasswordReset", Summary: "Ask for another password", About: "The answer is the same whether there is such an account or not; its owner gets a mail.",
			Body: EmailForm{exampleEmail}, Status: 202, Answer: Nothing{}, Problems: []string{"invalid_request"}},
		{Method: post, Path: "/v1/auth/password/reset/confirm", ID: "confirmPasswordReset", Summary: "Choose another password", About: "It ends all sessions, and leaves a second factor as it is.",
			Body: NewPasswordForm{exampleToken, "nine bells under the pier"}, Status: 204, Problems: append([]string{"token_invalid", "token_expired"}, passwordProblems...)},
		{Method: get, Path: "/.well-known/jwks.json", ID: "getKeys", Summary: "Keys that access tokens are signed with", Status: 200, ContentType: "application/jwk-set+json",
			Answer: map[string][]map[string]string{"keys": {{"kty": "OKP", "crv": "Ed25519", "kid": "2026a", "alg": "EdDSA", "use": "sig", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}}},
		{Method: get, Path: "/v1/users", ID: "listUsers", Tag: tagUsers, Summary: "List users", About: "The latest first.", Query: map[string]string{"limit": "How many to return at most; 50, at most 200.", "cursor": "The cursor of the page before."},
			Status: 200, Answer: Users{Items: []User{exampleUser}}},
		{Method: get, Path: "/v1/users/{id}", ID: "getUser", Tag: tagUsers, Summary: "Get a user", Status: 200, Answer: exampleUser, Problems: []string{"not_found"}},
		{Method: post, Path: "/v1/users/{id}/roles", ID: "setRoles", Tag: tagUsers, Summary: "Replace a user's roles", About: "They count at once.", Body: RolesForm{[]string{"clerk"}}, Status: 204,
			Problems: []string{"not_found", "invalid_request", "unknown_role", codeUserErased, codeUserDisabled}},
		{Method: post, Path: "/v1/users/{id}/lock", ID: "lockUser", Tag: tagUsers, Summary: "Keep a user out", About: "It ends all sessions of the user.", Body: ReasonForm{"reported_stolen"}, Status: 204,
			Problems: []string{"not_found", "invalid_request", codeUserErased, codeUserDisabled}},
		{Method: post, Path: "/v1/users/{id}/unlock", ID: "unlockUser", Tag: tagUsers, Summary: "Let a user in again", Status: 204, Problems: []string{"not_found", codeUserErased, codeUserDisabled}},
		{Method: post, Path: "/v1/users/{id}/forget", ID: "forgetUser", Tag: tagUsers, Summary: "Erase a user", About: "For good: the key of everything personal is deleted. It can be repeated.", Status: 200,
			Answer: Receipt{User: "7b46d1e2", ErasedAt: exampleTime, KeyDeletedAt: exampleTime, ClaimsReleased: 1, SessionsRevoked: 2}, Problems: []string{"not_found"}},
	}
}

// Operations are those of the Service, for the document of the API.
func Operations() []apidoc.Operation {
	routes := (&Service{}).table()
	ops := described()
	for i := range ops {
		op := &ops[i]
		if op.Tag == "" {
			op.Tag = tagAuth
		}
		at := slices.IndexFunc(routes, func(r route) bool { return r.method == op.Method && r.path == op.Path })
		if at < 0 { // a test holds that it does not happen
			continue
		}
		op.Private, op.Role = routes[at].private, routes[at].role
		if op.Private {
			op.Problems = append(op.Problems, "unauthenticated")
		}
		if op.Role != "" {
			op.Problems = append(op.Problems, "permission_denied")
		}
		if op.Method != http.MethodGet {
			op.Problems = append(op.Problems, "cross_origin")
		}
		if op.Body != nil {
			op.Problems = append(op.Problems, "unsupported_media_type", "request_too_large")
		}
	}
	return ops
}

// Problems are the kinds of problems that identity answers with and others do not.
func Problems() []apidoc.Problem {
	kinds := []*problem{invalidCredentials(), invalidChallenge(), invalidRefresh(), unauthenticated(), crossOrigin(), invalid(), wrongTotpCode(),
		userErased(), userDisabled(), tooManyAttempts(0)}
	for _, code := range slices.Sorted(maps.Keys(rejections)) {
		kinds = append(kinds, rejections[code])
	}
	var out []apidoc.Problem
	for _, p := range kinds {
		out = append(out, apidoc.Problem{Code: p.Code, Status: p.Status, Title: p.Title, Text: p.Detail})
	}
	for _, code := range passwordProblems {
		out = append(out, apidoc.Problem{Code: code, Status: http.StatusUnprocessableEntity, Title: "Password refused",
			Text: "The new password is not taken: " + strings.ReplaceAll(strings.TrimPrefix(code, "password_"), "_", " ") + "."})
	}
	return out
}
