package transport_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"

	"rtdb/keyspace"
	"rtdb/transport"
)

// A program embeds the server: it opens a keyspace, serves it on a listener, and in the
// end shuts both down. In between, this one calls its own server.
func Example() {
	ctx := context.Background()
	ks, err := keyspace.Open(keyspace.Options{Store: keyspace.NewMemory(1)})
	if err != nil {
		log.Fatal(err)
	}
	server := transport.NewServer(ks, transport.Options{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- server.Serve(listener) }()

	url := "http://" + listener.Addr().String() + "/data/room/1"
	show(http.Post(url, "application/json", strings.NewReader(`{"value":21}`)))
	show(http.Get(url))

	// The server ends first, because it uses the keyspace.
	if err := errors.Join(server.Shutdown(ctx), <-served, ks.Shutdown(ctx)); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 200 OK: key room/1, value 21, version 1
	// 200 OK: key room/1, value 21, version 1
}

// show prints the status of a response and the key in its body.
func show(response *http.Response, err error) {
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	var entry struct {
		Key     string
		Value   int
		Version uint64
		At      int64 // when the value was written, in Unix milliseconds
	}
	if err := json.NewDecoder(response.Body).Decode(&entry); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: key %s, value %d, version %d\n", response.Status, entry.Key, entry.Value, entry.Version)
}
