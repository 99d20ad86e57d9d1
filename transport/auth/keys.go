package auth

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Rules are what a token must have besides a signature and an expiry time. The zero value
// asks for nothing.
type Rules struct {
	Audience string // the claim "aud" must have it, if it is not ""
	Issuer   string // the claim "iss" must be it, if it is not ""

	// Leeway is the difference of clocks that the claims "exp", "nbf" and "iat" allow for.
	Leeway time.Duration
}

// Keys check tokens with the keys in force, which may change at any time. Their methods
// may be called from any goroutine.
type Keys struct {
	leeway time.Duration
	parser *jwt.Parser

	// renew tries to get keys that are newer than those in force. It reports whether it
	// did. It is nil if nothing can be asked. Follow sets it.
	renew func() bool

	inForce atomic.Pointer[ring]

	mu      sync.Mutex // makes Use one step
	sources map[string][]Key
}

// A ring has the keys in force, and never changes.
type ring struct {
	byID       map[string][]Key // keys with an ID
	others     []Key            // keys that fit tokens with any ID
	all        []Key
	algorithms string // for a person
}

// A Principal is an authenticated client, or a client without a token: its grants, and
// the time at which they end.
type Principal struct {
	Grants
	Subject string        // the claim "sub"; may be empty
	Expires time.Time     // the claim "exp"; zero if there is no token
	Leeway  time.Duration // how much longer the token counts
	ID      [16]byte      // identifies the token; zero if there is no token
}

// Ends returns the time from which the token does not count any more: its expiry time and
// the leeway. Without a token it is not meaningful.
func (p *Principal) Ends() time.Time { return p.Expires.Add(p.Leeway) }

// Expired reports whether the token has expired. Without a token it returns false.
func (p *Principal) Expired() bool { return !p.Expires.IsZero() && !time.Now().Before(p.Ends()) }

// ErrToken means that Verify refused a token. A *TokenError matches it with errors.Is.
var ErrToken = errors.New("auth: token refused")

// ErrNoKeys means that Verify cannot check any token, because no key is in force yet: the
// identity provider has not answered.
var ErrNoKeys = errors.New("auth: no keys yet")

// A TokenError says why a token was refused.
type TokenError struct {
	Reason string // may be shown to the client; contains nothing of the token
}

func (e *TokenError) Error() string        { return ErrToken.Error() + ": " + e.Reason }
func (e *TokenError) Is(target error) bool { return target == ErrToken }

// NewKeys returns Keys that have no keys in force. Use adds some.
func NewKeys(r Rules) *Keys {
	options := []jwt.ParserOption{
		jwt.WithValidMethods([]string{"HS256", "RS256", "ES256", "EdDSA"}), // the key then decides
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(r.Leeway), jwt.WithStrictDecoding(),
	}
	if r.Audience != "" {
		options = append(options, jwt.WithAudience(r.Audience))
	}
	if r.Issuer != "" {
		options = append(options, jwt.WithIssuer(r.Issuer))
	}
	k := &Keys{leeway: r.Leeway, parser: jwt.NewParser(options...), sources: map[string][]Key{}}
	k.inForce.Store(&ring{})
	return k
}

// SecretKeys returns Keys for a secret that the server shares with the token issuer
// (HS256). The secret must have at least MinSecretBytes bytes.
func SecretKeys(secret string) (*Keys, error) {
	key, err := ParseSecret(secret)
	if err != nil {
		return nil, err
	}
	return keysOf(key), nil
}

// PublicKeys returns Keys for public keys and certificates, as ParsePEM reads them.
func PublicKeys(text []byte) (*Keys, error) {
	keys, err := ParsePEM(text)
	if err != nil {
		return nil, err
	}
	return keysOf(keys...), nil
}

func keysOf(keys ...Key) *Keys {
	k := NewKeys(Rules{})
	k.Use("", keys)
	return k
}

// Use puts keys into force in place of the earlier ones of the same source, which is the
// name of a file, for example. Tokens that were verified before keep their grants until
// they expire.
func (k *Keys) Use(source string, keys []Key) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sources[source] = keys
	r := &ring{byID: map[string][]Key{}}
	var algorithms []string
	for _, keys := range k.sources {
		for _, key := range keys {
			algorithms = append(algorithms, key.Algorithm())
			r.all = append(r.all, key)
			if key.id == "" {
				r.others = append(r.others, key)
			} else {
				r.byID[key.id] = append(r.byID[key.id], key)
			}
		}
	}
	slices.Sort(algorithms)
	r.algorithms = strings.Join(slices.Compact(algorithms), " or ")
	k.inForce.Store(r)
}

// Algorithms returns the algorithms that tokens may have, as their header "alg" names them.
func (k *Keys) Algorithms() string { return k.inForce.Load().algorithms }

var (
	errUnknownID   = errors.New("auth: no key has the token's key ID")
	errWrongMethod = errors.New("auth: no key has the token's algorithm")
	errNoStringID  = errors.New("auth: the token's key ID is not a string")
)

// candidates returns the keys that may have signed the token. Its header "kid" chooses
// among the keys with an ID, and its algorithm must be that of the key. Nothing else in
// the header counts. known reports that a key has the token's key ID.
func (r *ring) candidates(t *jwt.Token) (fitting jwt.VerificationKeySet, known bool, err error) {
	if len(r.all) == 0 {
		return fitting, false, ErrNoKeys
	}
	id, present := t.Header["kid"]
	text, ok := id.(string)
	named, others := r.all, []Key(nil)
	switch {
	case present && !ok:
		return fitting, true, errNoStringID
	case text != "":
		named, others = r.byID[text], r.others
		known = len(named) > 0
	}
	if len(named)+len(others) == 0 {
		return fitting, false, errUnknownID
	}
	for _, keys := range [][]Key{named, others} {
		for _, key := range keys {
			if key.method == t.Method {
				fitting.Keys = append(fitting.Keys, key.key)
			}
		}
	}
	if len(fitting.Keys) == 0 {
		err = errWrongMethod
	}
	return fitting, known, err
}

// claims are the claims of a token that this package uses.
type claims struct {
	jwt.RegisteredClaims
	Grants json.RawMessage `json:"rtdb,omitempty"`
}

// Verify checks the token's signature, expiry time and claims. It returns the client that
// the token identifies, or a *TokenError, or ErrNoKeys. If the token may be signed with a
// key that is newer than those in force, Verify waits for it, for no more than RenewTimeout.
func (k *Keys) Verify(token string) (*Principal, error) {
	p, newer, err := k.verify(token)
	if newer && k.renew != nil && k.renew() {
		p, _, err = k.verify(token)
	}
	if err == nil || err == ErrNoKeys {
		return p, err
	}
	return nil, k.explain(token, err)
}

// verify checks the token with the keys in force. It returns an error that explain knows.
// newer reports that no key in force fits the token, but a newer one may.
func (k *Keys) verify(token string) (p *Principal, newer bool, err error) {
	var c claims
	known := true
	parsed, err := k.parser.ParseWithClaims(token, &c, func(t *jwt.Token) (keys any, err error) {
		keys, known, err = k.inForce.Load().candidates(t)
		return keys, err
	})
	switch {
	case errors.Is(err, ErrNoKeys):
		return nil, true, ErrNoKeys
	case errors.Is(err, jwt.ErrTokenUnverifiable), errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return nil, !known, err
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return nil, false, &TokenError{missing(&c)}
	case err != nil:
		return nil, false, err
	}
	p, err = k.principal(token, parsed, &c)
	return p, false, err
}

// principal returns the client that a token identifies whose signature and times are
// right.
func (k *Keys) principal(token string, parsed *jwt.Token, c *claims) (p *Principal, err error) {
	if _, ok := parsed.Header["crit"]; ok { // RFC 7515, section 4.1.11
		return nil, &TokenError{`it has a "crit" header, and this server supports no critical extension`}
	}
	signed := token[:strings.LastIndexByte(token, '.')]
	if !namesAreExact(signed) {
		return nil, &TokenError{`it has a claim of ` + knownClaims + ` that is not in lower case`}
	}
	p = &Principal{Subject: c.Subject, Expires: c.ExpiresAt.Time, Leeway: k.leeway}
	if len(c.Grants) > 0 {
		if p.Grants, err = ParseGrants(c.Grants); err != nil {
			return nil, &TokenError{`its claim "rtdb" is malformed: expected grants, such as {"read":["devices/#"]}`}
		}
	}
	// The hash leaves out the signature, because the same signature can be written in
	// several forms.
	sum := sha256.Sum256([]byte(signed))
	copy(p.ID[:], sum[:])
	return p, nil
}

// payload returns the claims of a token by their names as the token spells them.
func payload(token string) (named map[string]json.RawMessage, ok bool) {
	_, text, _ := strings.Cut(token, ".")
	text, _, _ = strings.Cut(text, ".")
	decoded, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, false
	}
	err = json.Unmarshal(decoded, &named)
	return named, err == nil
}

const knownClaims = `"exp", "nbf", "iat", "aud", "iss", "sub" and "rtdb"`

// namesAreExact reports whether the token spells the names of the claims that the server
// uses in lower case. encoding/json would read "EXP" as "exp" too, and a token issuer may
// let its users choose the names of other claims.
func namesAreExact(signed string) bool {
	named, ok := payload(signed)
	for name := range named {
		for _, known := range []string{"exp", "nbf", "iat", "aud", "iss", "sub", "rtdb"} {
			if name != known && strings.EqualFold(name, known) {
				return false
			}
		}
	}
	return ok
}
