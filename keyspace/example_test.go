package keyspace_test

import (
	"context"
	"fmt"
	"log"

	"rtdb/keyspace"
)

// An eventQueue is a Subscriber that describes each update in a channel. The
// channel's buffer must be large enough, because Deliver must not block.
type eventQueue chan string

func (q eventQueue) Deliver(u *keyspace.Update) { q <- "live: " + describe(u) }

func describe(u *keyspace.Update) string {
	if u.Value == nil {
		return fmt.Sprintf("%s was deleted at version %d", u.Target.Name, u.Version)
	}
	return fmt.Sprintf("%s = %s at version %d", u.Target.Name, u.Value, u.Version)
}

// waitDelivered waits until the writes of the keys have been delivered. A write is
// answered before, but GetInOrder reads the key after the delivery.
func waitDelivered(ctx context.Context, ks *keyspace.Keyspace, keys ...string) {
	for _, key := range keys {
		if err := ks.GetInOrder(ctx, key, func(keyspace.Entry) {}); err != nil {
			log.Fatal(err)
		}
	}
}

// Set writes a key, and Get reads it.
func ExampleKeyspace_Set() {
	ctx := context.Background()
	ks, err := keyspace.Open(keyspace.Options{Store: keyspace.NewMemory(1)})
	if err != nil {
		log.Fatal(err)
	}
	defer ks.Shutdown(ctx)

	version, err := ks.Set(ctx, "room/1/temp", []byte("21"))
	if err != nil {
		log.Fatal(err)
	}
	entry, err := ks.Get("room/1/temp")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("wrote version", version)
	fmt.Printf("read %s = %s at version %d\n", entry.Key, entry.Value, entry.Version)
	// Output:
	// wrote version 1
	// read room/1/temp = 21 at version 1
}

// A subscriber receives every write of a key in order.
func ExampleKeyspace_Subscribe() {
	ctx := context.Background()
	ks, err := keyspace.Open(keyspace.Options{Store: keyspace.NewMemory(1)})
	if err != nil {
		log.Fatal(err)
	}
	defer ks.Shutdown(ctx)

	events := make(eventQueue, 10)
	if err := ks.Subscribe(ctx, keyspace.Key("room/1/temp"), events, keyspace.Start{}); err != nil {
		log.Fatal(err)
	}
	for _, value := range []string{"21", "22"} {
		if _, err := ks.Set(ctx, "room/1/temp", []byte(value)); err != nil {
			log.Fatal(err)
		}
	}
	if _, err := ks.Delete(ctx, "room/1/temp"); err != nil {
		log.Fatal(err)
	}
	for range 3 {
		fmt.Println(<-events)
	}
	// Output:
	// live: room/1/temp = 21 at version 1
	// live: room/1/temp = 22 at version 2
	// live: room/1/temp was deleted at version 3
}

// A subscriber of a pattern first receives the values of the keys that match, then
// the mark, and then every write.
func ExampleKeyspace_Subscribe_snapshot() {
	ctx := context.Background()
	ks, err := keyspace.Open(keyspace.Options{Store: keyspace.NewMemory(1)})
	if err != nil {
		log.Fatal(err)
	}
	defer ks.Shutdown(ctx)

	keys := []string{"room/1/temp", "room/2/temp"}
	for _, key := range keys {
		if _, err := ks.Set(ctx, key, []byte("20")); err != nil {
			log.Fatal(err)
		}
	}
	waitDelivered(ctx, ks, keys...)

	events := make(eventQueue, 10)
	err = ks.Subscribe(ctx, keyspace.Pattern("room/+/temp"), events, keyspace.Start{
		Snapshot: true,
		Each:     func(u *keyspace.Update) { events <- "snapshot: " + describe(u) },
		Mark:     func(m keyspace.Mark) { events <- fmt.Sprint("mark: revision ", m.Revision) },
	})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := ks.Set(ctx, "room/3/temp", []byte("23")); err != nil {
		log.Fatal(err)
	}
	for range 4 {
		fmt.Println(<-events)
	}
	// Output:
	// snapshot: room/1/temp = 20 at version 1
	// snapshot: room/2/temp = 20 at version 2
	// mark: revision 2
	// live: room/3/temp = 23 at version 3
}

// A subscriber that was away resumes from a revision. It receives only what changed
// since, including deletes.
func ExampleKeyspace_Subscribe_resume() {
	ctx := context.Background()
	ks, err := keyspace.Open(keyspace.Options{Store: keyspace.NewMemory(1)})
	if err != nil {
		log.Fatal(err)
	}
	defer ks.Shutdown(ctx)

	keys := []string{"room/1/temp", "room/2/temp", "room/3/temp"}
	for _, key := range keys {
		if _, err := ks.Set(ctx, key, []byte("20")); err != nil {
			log.Fatal(err)
		}
	}
	waitDelivered(ctx, ks, keys...)

	events := make(eventQueue, 10)
	rooms := keyspace.Pattern("room/+/temp")
	var revision uint64
	start := keyspace.Start{Mark: func(m keyspace.Mark) { revision = m.Revision }}
	if err := ks.Subscribe(ctx, rooms, events, start); err != nil {
		log.Fatal(err)
	}
	if err := ks.Unsubscribe(ctx, rooms, events); err != nil {
		log.Fatal(err)
	}

	// While the subscriber is away, one key is written and another one is deleted.
	if _, err := ks.Set(ctx, "room/1/temp", []byte("25")); err != nil {
		log.Fatal(err)
	}
	if _, err := ks.Delete(ctx, "room/2/temp"); err != nil {
		log.Fatal(err)
	}
	waitDelivered(ctx, ks, keys...)

	fmt.Println("resume since", revision)
	err = ks.Subscribe(ctx, rooms, events, keyspace.Start{
		Resume: true,
		Since:  revision,
		Each:   func(u *keyspace.Update) { events <- "changed: " + describe(u) },
		Mark: func(m keyspace.Mark) {
			events <- fmt.Sprintf("mark: revision %d, reset %t", m.Revision, m.Reset)
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	for range 3 {
		fmt.Println(<-events)
	}
	// Output:
	// resume since 3
	// changed: room/1/temp = 25 at version 4
	// changed: room/2/temp was deleted at version 5
	// mark: revision 5, reset false
}
