// Package jetstream is a [keyspace.SharedStore] on a stream of NATS JetStream: several nodes
// share one state.
package jetstream
