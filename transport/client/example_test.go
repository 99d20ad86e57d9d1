package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"time"

	"rtdb/keyspace"
	"rtdb/transport"
	"rtdb/transport/client"
)

// connect returns a client of a new server in memory. end ends both.
func connect() (ctx context.Context, c *client.Client, end func()) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
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
	c, err = client.Dial(ctx, "http://"+listener.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	return ctx, c, func() {
		if err := errors.Join(c.Close(), server.Shutdown(ctx), <-served, ks.Shutdown(ctx)); err != nil {
			log.Fatal(err)
		}
		cancel()
	}
}

// A program dials once. The token function is called before each attempt to connect, and
// OnState says when the connection is lost and found again.
func ExampleDial() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, err := client.Dial(ctx, "http://localhost:1",
		client.WithName("device-7"),
		client.WithToken(func(context.Context) (string, error) { return "", client.ErrUnauthorized }),
		client.OnState(func(s client.State, reason error) { fmt.Println(s, reason) }),
	)
	fmt.Println(err)
	// Output:
	// connecting <nil>
	// closed rtdb: there is no token: rtdb: unauthorized
	// rtdb: there is no token: rtdb: unauthorized
}

func ExampleSet() {
	ctx, c, end := connect()
	defer end()
	version, err := client.Set(ctx, c, "room/1", 21)
	fmt.Println(version, err)

	// A condition: only if nobody has written since.
	_, err = client.Set(ctx, c, "room/1", 22, client.IfVersion(version))
	fmt.Println(err)
	_, err = client.Set(ctx, c, "room/1", 23, client.IfVersion(version))
	var refusal *client.Error
	fmt.Println(errors.Is(err, client.ErrVersionMismatch), errors.As(err, &refusal) && refusal.Version == 2)
	// Output:
	// 1 <nil>
	// <nil>
	// true true
}

func ExampleGet() {
	ctx, c, end := connect()
	defer end()
	_, ok, err := client.Get[int](ctx, c, "room/1")
	fmt.Println(ok, err)
	_, _ = client.Set(ctx, c, "room/1", 21)
	e, ok, err := client.Get[int](ctx, c, "room/1")
	fmt.Println(e.Value, ok, err)

	_, _, err = client.Get[string](ctx, c, "room/1")
	fmt.Println(err)
	// Output:
	// false <nil>
	// 21 true <nil>
	// rtdb: the value of "room/1" does not parse: json: cannot unmarshal number into Go value of type string: 21
}

func ExamplePatch() {
	ctx, c, end := connect()
	defer end()
	_, _ = client.Patch(ctx, c, "building/3", map[string]any{"name": "North", "floors": 4})
	_, _ = client.Patch(ctx, c, "building/3", map[string]any{"floors": nil, "lift": true})
	e, _, _ := client.Get[json.RawMessage](ctx, c, "building/3")
	fmt.Printf("%s\n", e.Value)
	// Output: {"name":"North","lift":true}
}

// An update reads, changes and writes, and begins again if somebody else wrote meanwhile.
func ExampleUpdate() {
	ctx, c, end := connect()
	defer end()
	for range 3 {
		e, err := client.Update(ctx, c, "counter", func(old client.Entry[int]) (int, error) {
			if old.Value == 2 {
				return 0, client.ErrNoChange
			}
			return old.Value + 1, nil
		})
		fmt.Println(e.Value, err)
	}
	// Output:
	// 1 <nil>
	// 2 <nil>
	// 2 <nil>
}

// The key of a device expires, unless the device touches the key.
func ExampleTouch() {
	ctx, c, end := connect()
	defer end()
	_, _ = client.Set(ctx, c, "device/7", "on", client.TTL(time.Minute))
	version, err := client.Touch(ctx, c, "device/7", time.Hour)
	e, _, _ := client.Get[string](ctx, c, "device/7")
	fmt.Println(version == e.Version, err, e.ExpiresIn.Round(time.Hour))
	// Output: true <nil> 1h0m0s
}

func ExampleDelete() {
	ctx, c, end := connect()
	defer end()
	_, _ = client.Set(ctx, c, "room/1", 21)
	_, err := client.Delete(ctx, c, "room/1")
	fmt.Println(err)
	_, err = client.Delete(ctx, c, "room/1")
	fmt.Println(errors.Is(err, client.ErrNotFound))
	// Output:
	// <nil>
	// true
}

// Lines of a log: the keys sort in the order in which they were pushed.
func ExamplePush() {
	ctx, c, end := connect()
	defer end()
	for _, line := range []string{"first", "second"} {
		if _, err := client.Push(ctx, c, "log", line, client.TTL(time.Hour)); err != nil {
			fmt.Println(err)
		}
	}
	for e, err := range client.List[string](ctx, c, client.ListOptions{Prefix: "log/"}) {
		fmt.Println(e.Value, err)
	}
	// Output:
	// first <nil>
	// second <nil>
}

func ExampleList() {
	ctx, c, end := connect()
	defer end()
	for i := range 5 {
		_, _ = client.Set(ctx, c, fmt.Sprintf("room/%d", i), 20+i)
	}
	for e, err := range client.List[int](ctx, c, client.ListOptions{Pattern: "room/+", Reverse: true}) {
		if err != nil || e.Key < "room/3" {
			break
		}
		fmt.Println(e.Key, e.Value)
	}
	// Output:
	// room/4 24
	// room/3 23
}

// A watch begins with the current state. Marks say when that is complete, and when it may be
// stale.
func ExampleWatch() {
	ctx, c, end := connect()
	defer end()
	_, _ = client.Set(ctx, c, "room/1", 21)
	for change, err := range client.Watch[int](ctx, c, "room/#", client.WithMarks()) {
		switch {
		case err != nil:
			fmt.Println("the watch has ended:", err)
		case change.Mark == client.Stale:
			fmt.Println("the values may be stale")
		case change.Mark == client.Synced:
			fmt.Println("this is all")
			_, _ = client.Delete(ctx, c, "room/1")
		case change.Deleted:
			fmt.Println(change.Key, "is gone")
			return // ends the subscription
		default:
			fmt.Println(change.Key, change.Value)
		}
	}
	// Output:
	// room/1 21
	// this is all
	// room/1 is gone
}

func ExampleNewView() {
	ctx, c, end := connect()
	defer end()
	_, _ = client.Set(ctx, c, "room/1", 21)
	view := client.NewView[int](ctx, c, "room/#")
	defer view.Close()
	if err := view.Ready(ctx); err != nil {
		fmt.Println(err)
	}
	e, ok := view.Get("room/1")
	fmt.Println(e.Value, ok, view.Stale())

	_, _ = client.Set(ctx, c, "room/2", 22)
	for ok = false; !ok; _, ok = view.Get("room/2") {
		<-view.Changed()
	}
	sum := 0
	for _, e := range view.All() {
		sum += e.Value
	}
	fmt.Println(sum)
	// Output:
	// 21 true false
	// 43
}

// Messages of a topic reach the clients that listen at that moment.
func ExampleListen() {
	ctx, c, end := connect()
	defer end()
	heard := make(chan string)
	go func() {
		for m, err := range client.Listen[string](ctx, c, "chat/#") {
			if err != nil || m.Missed != 0 {
				fmt.Println(err, m.Missed)
				return
			}
			heard <- m.Topic + ": " + m.Value
			return
		}
	}()
	for {
		if err := client.Publish(ctx, c, "chat/lobby", "hello"); err != nil {
			fmt.Println(err)
		}
		select {
		case text := <-heard:
			fmt.Println(text)
			return
		case <-time.After(10 * time.Millisecond): // nobody listens yet
		}
	}
	// Output: chat/lobby: hello
}

// A device says that it is online. If its connection is lost, the server says that it is
// offline.
func ExampleClient_Will() {
	ctx, c, end := connect()
	defer end()
	withdraw, err := c.Will(ctx, client.Will{Key: "device/7", Value: "offline", Opts: []client.WriteOption{client.TTL(time.Hour)}})
	fmt.Println(err)
	_, err = client.Set(ctx, c, "device/7", "online")
	fmt.Println(err)
	fmt.Println(withdraw(ctx)) // Close has the same effect
	// Output:
	// <nil>
	// <nil>
	// <nil>
}
