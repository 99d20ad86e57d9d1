// Package auth says who may do what: it checks tokens, and knows what their
// grants cover.
//
// # Model
//
// A token is a JSON Web Token (RFC 7519) with an expiry, signed by a key that the
// operator configures. [Keys] checks it, and makes a [Principal] of it: what it
// may do, and until when. The algorithm is the key's and never the token's, so
// that a public key is not taken for a secret, and "none" is none (RFC 8725,
// sections 3.1 and 3.2). Of the time there is no leeway: a token ends when it
// says.
//
// # Grants
//
// The claim "rtdb" has patterns of keys to read and to write, of topics to
// listen to and to publish to, and whether the admin's calls are allowed:
//
//	{"read":["devices/#"],"write":["devices/7/+"],"listen":["chat"],"publish":["chat"],"admin":false}
//
// What is not granted is refused. A pattern, or a prefix, that somebody asks for
// needs one grant that covers all of it.
//
// # Failure
//
// An error says what is wrong with a token, and nothing that is in it: a token is
// a password, and so is half of one.
package auth
