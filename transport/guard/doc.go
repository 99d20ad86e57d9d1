// Package guard decides which HTTP requests come in at all: by the Host header, by
// the origin of the page that sends them, by their rate, and by the format of their
// bodies. It also finds the address of a client behind proxies.
//
// It knows nothing of tokens: package auth does.
package guard
