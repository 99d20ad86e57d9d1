// Package walbench compares the journal with the write-ahead log of etcd
// (go.etcd.io/etcd/server/v3/storage/wal). It is a separate module, so that rtdb does not
// depend on etcd.
//
//	go test -bench . -benchtime 1x
package walbench
