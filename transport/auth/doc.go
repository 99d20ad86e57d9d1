// Package auth checks tokens, and checks whether their grants permit a request.
//
// # Use
//
// The operator configures secrets, public keys, or the JWK Set of an identity provider.
// [ParseSecrets], [ParsePEM] and [ParseJWKSet] read keys. [Keys.Use] puts them into force in
// place of the earlier ones of the same file, and [Follow] does so with the set at a URL.
// [Keys.Verify] checks a token and returns a [Principal]: the client's grants, and the
// time at which they end. The methods of [Grants] then decide about each request, for
// example [Grants.MayRead]. A [Signer] makes tokens, and [Inspect] shows what a token says
// without checking it. [SecretKeys] and [PublicKeys] make Keys that never change.
//
// # Tokens
//
// A token is a JSON Web Token (RFC 7519) with an expiry time. It is signed with one of the
// secrets, or with the private key of one of the public keys.
//
//   - The key decides the algorithm, never the token. So nobody can pass off a public key
//     as a secret, and a token with the algorithm "none" is refused (RFC 8725, sections
//     3.1 and 3.2).
//   - The header "kid" of a token only chooses among the keys in force. Keys and URLs in
//     the header are ignored (RFC 8725, section 3.10).
//   - [Rules] may ask for an audience and an issuer, and set a leeway for clocks that
//     differ. It applies to the claims "exp", "nbf" and "iat".
//
// # Keys that change
//
// Verify uses the keys that are in force when it is called. A key that is taken out of
// force ends no session: the tokens that it has verified keep their grants until they
// expire. To end a session at once, the operator kicks it.
//
// If the identity provider cannot be reached, the keys that it sent last stay in force. If
// it has not answered yet, no token can be checked, and Verify returns [ErrNoKeys]: the
// client is right to keep its token and try again.
//
// # Grants
//
// The claim "rtdb" has the patterns of the keys that the client may read and write, the
// patterns of the topics that it may listen to and publish to, and whether it may use the
// admin interface:
//
//	{"read":["devices/#"],"write":["devices/7/+"],"listen":["chat"],"publish":["chat"],"admin":false}
//
// Everything that is not granted is refused. If a client asks for a pattern or a prefix,
// one single grant must cover all of it.
//
// # Failure
//
// An error says what is wrong with a token, and never contains any part of it: a token is
// a password, and even a part of it must stay secret.
package auth
