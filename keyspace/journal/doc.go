// Package journal keeps the state of a keyspace in a directory: a log of checksummed
// frames, and snapshots that let the old part of the log go.
package journal
