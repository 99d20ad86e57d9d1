package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

// ParseJWKSet reads a JWK Set (RFC 7517). Keys for anything but RS256, ES256 and EdDSA
// signatures are left out, because the sets of identity providers have such keys, too
// (section 5). ignored says why each was left out. A set without a usable key is an error.
func ParseJWKSet(text []byte) (keys []Key, ignored []string, err error) {
	var set struct {
		Keys *[]json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil || set.Keys == nil {
		return nil, nil, errors.New(`not a JWK Set: expected {"keys":[…]}`)
	}
	for i, member := range *set.Keys {
		key, err := parseJWK(member)
		if err != nil {
			ignored = append(ignored, fmt.Sprintf("key %d: %v", i+1, err))
			continue
		}
		keys = append(keys, key)
	}
	reasons := strings.Join(ignored[:min(len(ignored), 3)], "; ")
	return keys, ignored, checkNumber(len(keys), "the JWK Set has no usable key: "+reasons)
}

func parseJWK(text []byte) (Key, error) {
	var kind jwkset.JWKMarshal
	if err := json.Unmarshal(text, &kind); err != nil {
		return Key{}, errors.New("it is not a JWK")
	}
	switch {
	case kind.KTY == jwkset.KtyOct:
		return Key{}, errors.New("it is a secret: a JWK Set may have only public keys")
	case kind.D != "":
		return Key{}, errors.New("it is a private key: a JWK Set may have only public keys")
	case kind.USE != "" && kind.USE != jwkset.UseSig:
		return Key{}, fmt.Errorf("its use is %q: expected sig", short(string(kind.USE)))
	case len(kind.KEYOPS) > 0 && !slices.Contains(kind.KEYOPS, jwkset.KeyOpsVerify):
		return Key{}, errors.New("its key_ops lack verify")
	}
	jwk, err := jwkset.NewJWKFromMarshal(kind, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
	if err != nil {
		return Key{}, errors.New(short(err.Error()))
	}
	method, err := signingMethod(jwk.Key())
	if err != nil {
		return Key{}, err
	}
	if alg := string(kind.ALG); alg != "" && alg != method.Alg() && !(alg == "Ed25519" && method == jwt.SigningMethodEdDSA) {
		return Key{}, fmt.Errorf("its alg is %q: expected %s", short(alg), method.Alg())
	}
	return Key{id: kind.KID, method: method, key: jwk.Key()}, nil
}

// short bounds a text of a JWK Set, for an error.
func short(text string) string {
	const limit = 200
	if len(text) > limit {
		text = text[:limit] + "…"
	}
	return strings.ToValidUTF8(text, "")
}
