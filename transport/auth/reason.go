package auth

import (
	"encoding/json"
	"errors"

	"github.com/golang-jwt/jwt/v5"
)

// explain turns an error of verify into a *TokenError that contains nothing of the token.
func (k *Keys) explain(token string, err error) error {
	var refused *TokenError
	if errors.As(err, &refused) {
		return refused
	}
	if errors.Is(err, jwt.ErrTokenMalformed) {
		return &TokenError{malformed(token)}
	}
	algorithms := k.Algorithms()
	for _, known := range []struct {
		err    error
		reason string
	}{
		{errNoStringID, `its header "kid" is not a string`},
		{errUnknownID, `its header "kid" names no key of the server`},
		{errWrongMethod, "its algorithm does not fit the server's key: expected " + algorithms},
		{jwt.ErrTokenUnverifiable, "its signature cannot be checked: its algorithm is not " + algorithms},
		{jwt.ErrTokenSignatureInvalid, "its signature does not match the server's key, or its algorithm is not " + algorithms},
		{jwt.ErrTokenExpired, `it has expired: its "exp" is in the past`},
		{jwt.ErrTokenNotValidYet, `it is not valid yet: its "nbf" is in the future`},
		{jwt.ErrTokenUsedBeforeIssued, `it is not valid yet: its "iat" is in the future`},
		{jwt.ErrTokenInvalidAudience, `its "aud" is not the audience that the server expects`},
		{jwt.ErrTokenInvalidIssuer, `its "iss" is not the issuer that the server expects`},
	} {
		if errors.Is(err, known.err) {
			return &TokenError{known.reason}
		}
	}
	return &TokenError{"its claims are malformed"}
}

// missing names the first required claim that a token lacks.
func missing(c *claims) string {
	switch {
	case c.ExpiresAt == nil:
		return `it has no "exp": an expiry time is required`
	case len(c.Audience) == 0 || len(c.Audience) == 1 && c.Audience[0] == "":
		return `it has no "aud": the server expects an audience`
	}
	return `it has no "iss": the server expects an issuer`
}

// malformed says what is wrong with a token that cannot be parsed: a claim of the wrong
// type, or else that it is not a token.
func malformed(token string) string {
	named, _ := payload(token)
	for _, claim := range []struct {
		name, want string
		into       any
	}{
		{"exp", "a number", new(jwt.NumericDate)},
		{"nbf", "a number", new(jwt.NumericDate)},
		{"iat", "a number", new(jwt.NumericDate)},
		{"aud", "a string or a list of strings", new(jwt.ClaimStrings)},
		{"iss", "a string", new(string)},
		{"sub", "a string", new(string)},
	} {
		text, ok := named[claim.name]
		if ok && json.Unmarshal(text, claim.into) != nil {
			return `its claim "` + claim.name + `" has the wrong type: expected ` + claim.want
		}
	}
	return "it is not a JSON Web Token"
}
