package keyspace_test

import (
	"testing"

	"rtdb/keyspace"
	"rtdb/keyspace/storetest"
)

func TestMemoryIsAStore(t *testing.T) {
	storetest.Run(t, storetest.Options{Open: func(testing.TB, string) keyspace.Store { return keyspace.NewMemory(0) }})
}
