// Package auth checks tokens, and checks whether their grants permit a request.
//
// # Use
//
// The operator configures a secret or a public key, and [SecretKeys] or [PublicKeys] makes
// [Keys] of it. [Keys.Verify] checks a token and returns a [Principal]: the client's
// grants, and the time at which they end. The methods of [Grants] then decide about each
// request, for example [Grants.MayRead]. A [Signer] makes tokens, and [Inspect] shows what
// a token says without checking it.
//
// # Tokens
//
// A token is a JSON Web Token (RFC 7519) with an expiry time. It is signed with the secret,
// or with the private key of the configured public key.
//
//   - The key decides the algorithm, never the token. So nobody can pass off a public key
//     as a secret, and a token with the algorithm "none" is refused (RFC 8725, sections
//     3.1 and 3.2).
//   - There is no leeway for clocks that differ: a token ends exactly at its expiry time.
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
