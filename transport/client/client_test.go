package client_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rtdb/transport"
	"rtdb/transport/client"
	"rtdb/transport/transporttest"
)

func TestKeys(t *testing.T) {
	s := transporttest.NewServer(t, transport.Options{})
	c, ctx := dial(t, s.URL()), timeout(t)

	if e, ok, err := client.Get[int](ctx, c, "a"); ok || err != nil || e.Version != 0 {
		t.Fatalf("Get of a missing key: %v, %t, %v", e, ok, err)
	}
	v1 := must(client.Set(ctx, c, "a", 1))
	e, ok, err := client.Get[int](ctx, c, "a")
	if !ok || err != nil || e.Key != "a" || e.Value != 1 || e.Version != v1 || time.Since(e.At).Abs() > time.Minute || e.ExpiresIn != 0 {
		t.Fatalf("Get: %+v, %t, %v", e, ok, err)
	}
	var refusal *client.Error
	if _, err := client.Set(ctx, c, "a", 2, client.IfVersion(0)); !errors.Is(err, client.ErrVersionMismatch) ||
		!errors.As(err, &refusal) || refusal.Version != v1 {
		t.Fatalf("Set at a wrong version: %v", err)
	}
	v2 := must(client.Set(ctx, c, "a", 2, client.IfVersion(v1), client.TTL(time.Hour)))
	if e, _, _ := client.Get[int](ctx, c, "a"); e.Version != v2 || e.ExpiresIn < 59*time.Minute {
		t.Fatalf("Get of a key with a time to live: %+v", e)
	}
	if v := must(client.Touch(ctx, c, "a", 2*time.Hour)); v != v2 {
		t.Fatalf("Touch: version %d, want %d", v, v2)
	}
	if e, _, _ := client.Get[int](ctx, c, "a"); e.ExpiresIn < 119*time.Minute {
		t.Fatalf("Get of a touched key: %+v", e)
	}
	must(client.Delete(ctx, c, "a"))
	if _, err := client.Delete(ctx, c, "a"); !errors.Is(err, client.ErrNotFound) {
		t.Fatalf("Delete of a missing key: %v", err)
	}
	must(client.Patch(ctx, c, "o", map[string]any{"x": 1, "y": 2}))
	must(client.Patch(ctx, c, "o", map[string]any{"x": nil}))
	if e, _, _ := client.Get[map[string]int](ctx, c, "o"); len(e.Value) != 1 || e.Value["y"] != 2 {
		t.Fatalf("after a patch: %v", e.Value)
	}
	for name, err := range map[string]error{
		"a name":        second(client.Set(ctx, c, "a//b", 1)),
		"invalid UTF-8": second(client.Set(ctx, c, "a\xff", 1)),
		"a value":       second(client.Set(ctx, c, "a", func() {})),
		"raw JSON":      second(client.Set(ctx, c, "a", json.RawMessage("{"))),
		"a TTL":         second(client.Set(ctx, c, "a", 1, client.TTL(0))),
		"a delete":      second(client.Delete(ctx, c, "o", client.TTL(time.Second))),
		"a will of two": second(c.Will(ctx, client.Will{Key: "a", Topic: "b"})),
	} {
		if err == nil || !strings.Contains(err.Error(), `"`) {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// A json.RawMessage is written and read letter for letter.
func TestRawValuesAreVerbatim(t *testing.T) {
	s := transporttest.NewServer(t, transport.Options{})
	c, ctx := dial(t, s.URL()), timeout(t)
	for _, text := range []string{`12345678901234567890`, `1.50`, `1e400`, `"\u00e9<>&"`, `{"a":[1.0,"\u2028"],"a":null}`, `null`} {
		must(client.Set(ctx, c, "raw", json.RawMessage(text)))
		if e, ok, err := client.Get[json.RawMessage](ctx, c, "raw"); string(e.Value) != text || !ok || err != nil {
			t.Errorf("%s came back as %s, %t, %v", text, e.Value, ok, err)
		}
		type outer struct{ Inner json.RawMessage }
		must(client.Set(ctx, c, "raw", outer{json.RawMessage(text)}))
		if e, _, _ := client.Get[json.RawMessage](ctx, c, "raw"); string(e.Value) != `{"Inner":`+text+`}` {
			t.Errorf("%s inside a struct came back as %s", text, e.Value)
		}
	}
}

// Many updates of one key at the same time all succeed.
func TestUpdatesThatCompete(t *testing.T) {
	s := transporttest.NewServer(t, transport.Options{})
	c := dial(t, s.URL())
	var updating sync.WaitGroup
	for range 60 {
		updating.Go(func() {
			_, err := client.Update(t.Context(), c, "n", func(old client.Entry[int]) (int, error) { return old.Value + 1, nil })
			if err != nil {
				t.Error(err)
			}
		})
	}
	updating.Wait()
	if e, _, err := client.Get[int](t.Context(), c, "n"); err != nil || e.Value != 60 {
		t.Errorf("got %d, %v, want 60", e.Value, err)
	}
}

func TestUpdate(t *testing.T) {
	s := transporttest.NewServer(t, transport.Options{})
	c, ctx := dial(t, s.URL()), timeout(t)
	tries := 0
	e, err := client.Update(ctx, c, "n", func(old client.Entry[int]) (int, error) {
		if tries++; tries == 1 {
			must(client.Set(ctx, c, "n", 10)) // somebody else writes meanwhile
		}
		return old.Value + 1, nil
	})
	if err != nil || e.Value != 11 || tries != 2 {
		t.Fatalf("Update: %+v, %v, after %d tries", e, err, tries)
	}
	same, err := client.Update(ctx, c, "n", func(client.Entry[int]) (int, error) { return 0, client.ErrNoChange })
	if err != nil || same.Value != 11 || same.Version != e.Version {
		t.Fatalf("Update without a change: %+v, %v", same, err)
	}
	stop := errors.New("stop")
	if _, err := client.Update(ctx, c, "n", func(client.Entry[int]) (int, error) { return 0, stop }); !errors.Is(err, stop) {
		t.Fatalf("Update that stops: %v", err)
	}
	if e, _, _ := client.Get[int](ctx, c, "n"); e.Value != 11 {
		t.Fatalf("after an update that stopped: %+v", e)
	}
}

func TestPushAndList(t *testing.T) {
	s := transporttest.NewServer(t, transport.Options{})
	c, ctx := dial(t, s.URL()), timeout(t)
	var keys []string
	for i := range 25 {
		keys = append(keys, must(client.Push(ctx, c, "log", i)))
	}
	must(client.Set(ctx, c, "other", 1))
	list := func(o client.ListOptions) (found []string) {
		for e, err := range client.List[json.RawMessage](ctx, c, o) {
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, e.Key)
		}
		return found
	}
	if got := list(client.ListOptions{Prefix: "log/", PageSize: 10}); !slices.Equal(got, keys) {
		t.Errorf("List: %q, want %q", got, keys)
	}
	if got := list(client.ListOptions{Pattern: "+", PageSize: 1}); !slices.Equal(got, []string{"other"}) {
		t.Errorf("List of a pattern: %q", got)
	}
	slices.Reverse(keys)
	if got := list(client.ListOptions{Pattern: "log/#", Reverse: true, PageSize: 7}); !slices.Equal(got, keys) {
		t.Errorf("List in reverse: %q, want %q", got, keys)
	}
	for _, err := range client.List[int](ctx, c, client.ListOptions{Pattern: "a#"}) {
		var refusal *client.Error
		if !errors.As(err, &refusal) || refusal.Code != "invalid_name" {
			t.Errorf("List of a bad pattern: %v", err)
		}
	}
}

func TestWatch(t *testing.T) {
	s := transporttest.NewServer(t, transport.Options{})
	c, ctx := dial(t, s.URL()), timeout(t)
	v1 := must(client.Set(ctx, c, "room/1", 20))
	rooms := pull(t, client.Watch[int](ctx, c, "room/#", client.WithMarks()))
	if got := rooms.next(); got.Key != "room/1" || got.Value != 20 || got.Version != v1 || !got.Snapshot || got.At.IsZero() {
		t.Errorf("the snapshot has %+v", got)
	}
	if got := rooms.next(); got.Mark != client.Synced {
		t.Errorf("after the snapshot: %+v", got)
	}
	must(client.Set(ctx, c, "room/2", 21))
	if got := rooms.next(); got.Key != "room/2" || got.Value != 21 || got.Snapshot || got.Deleted {
		t.Errorf("a new key: %+v", got)
	}
	v3 := must(client.Delete(ctx, c, "room/1"))
	if got := rooms.next(); got.Key != "room/1" || !got.Deleted || got.Version != v3 {
		t.Errorf("a delete: %+v", got)
	}

	// A second watch of the pattern begins with the same state.
	again := pull(t, client.Watch[int](ctx, c, "room/#"))
	if got := again.next(); got.Key != "room/2" || got.Value != 21 || !got.Snapshot {
		t.Errorf("a second watch begins with %+v", got)
	}
	one := pull(t, client.Watch[int](ctx, c, "room/2"))
	if got := one.next(); got.Key != "room/2" || got.Value != 21 {
		t.Errorf("the watch of a key begins with %+v", got)
	}

	// A value of another type ends its watch, and no other watch.
	raw := pull(t, client.Watch[json.RawMessage](ctx, c, "room/#"))
	raw.next()
	must(client.Set(ctx, c, "room/2", "warm"))
	var value *client.ValueError
	if err := rooms.fails(); !errors.As(err, &value) || value.Name != "room/2" || value.Value != `"warm"` {
		t.Errorf("a value of another type: %v", err)
	}
	if got := raw.next(); string(got.Value) != `"warm"` {
		t.Errorf("the raw watch got %+v", got)
	}
	bad := pull(t, client.Watch[int](ctx, c, "room/#/x"))
	var refusal *client.Error
	if err := bad.fails(); !errors.As(err, &refusal) || refusal.Code != "invalid_name" {
		t.Errorf("a bad pattern: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := raw.fails(); !errors.Is(err, client.ErrClosed) {
		t.Errorf("a watch after Close: %v", err)
	}
}

func TestView(t *testing.T) {
	s := transporttest.NewServer(t, transport.Options{})
	c, ctx := dial(t, s.URL()), timeout(t)
	must(client.Set(ctx, c, "a/1", 1))
	v := client.NewView[int](ctx, c, "a/#")
	defer v.Close()
	if err := v.Ready(ctx); err != nil || v.Stale() {
		t.Fatalf("Ready: %v, stale %t", err, v.Stale())
	}
	if e, ok := v.Get("a/1"); !ok || e.Value != 1 || e.Version == 0 {
		t.Fatalf("Get: %+v, %t", e, ok)
	}
	must(client.Set(ctx, c, "a/2", 2))
	must(client.Delete(ctx, c, "a/1"))
	all := func() map[string]int {
		found := map[string]int{}
		for key, e := range v.All() {
			found[key] = e.Value
		}
		return found
	}
	for len(all()) != 1 || all()["a/2"] != 2 {
		<-v.Changed()
	}
	must(client.Set(ctx, c, "a/3", "three"))
	var value *client.ValueError
	transporttest.Eventually(t, "the view has an error", func() bool { return errors.As(v.Err(), &value) && value.Name == "a/3" })
	if len(all()) != 1 {
		t.Errorf("the view has %v", all())
	}
	must(client.Set(ctx, c, "a/3", 3))
	transporttest.Eventually(t, "the value is good again", func() bool { return v.Err() == nil && all()["a/3"] == 3 })
	v.Close()
	if err := v.Err(); !errors.Is(err, client.ErrClosed) || !v.Stale() || all()["a/3"] != 3 {
		t.Errorf("after Close: %v, stale %t, %v", err, v.Stale(), all())
	}
}

func TestTopics(t *testing.T) {
	s := transporttest.NewServer(t, transport.Options{})
	c, ctx := dial(t, s.URL()), timeout(t)
	heard := make(chan client.Message[string], 10000)
	done := make(chan error)
	go func() {
		for m, err := range client.Listen[string](ctx, c, "chat/#") {
			if err != nil {
				done <- err
				return
			}
			heard <- m
		}
	}()
	var m client.Message[string]
	transporttest.Eventually(t, "a message is heard", func() bool {
		if err := client.Publish(ctx, c, "chat/1", "hello"); err != nil {
			t.Fatal(err)
		}
		select {
		case m = <-heard:
			return true
		default:
			return false
		}
	})
	if m.Topic != "chat/1" || m.Value != "hello" || m.Missed != 0 {
		t.Errorf("heard %+v", m)
	}
	if err := client.Publish(ctx, c, "chat/1", 5); err != nil {
		t.Fatal(err)
	}
	var value *client.ValueError
	if err := <-done; !errors.As(err, &value) || value.Name != "chat/1" {
		t.Errorf("a message of another type: %v", err)
	}
}

func TestWillsAndNames(t *testing.T) {
	s := transporttest.NewServer(t, transport.Options{})
	ctx := timeout(t)
	watcher := dial(t, s.URL())
	states := make(chan error, 10)
	device := dial(t, s.URL(), client.WithName("device-7"), client.OnState(func(s client.State, err error) {
		if s == client.Closed {
			states <- err
		}
	}))
	must(device.Will(ctx, client.Will{Key: "device/7", Value: "offline"}))
	withdraw := must(device.Will(ctx, client.Will{Key: "device/8", Delete: true}))
	must(client.Set(ctx, device, "device/8", "stays"))
	if err := withdraw(ctx); err != nil {
		t.Fatal(err)
	}
	again := dial(t, s.URL(), client.WithName("device-7"))
	if err := <-states; !errors.Is(err, client.ErrReplaced) {
		t.Errorf("the older client ended with %v", err)
	}
	if _, err := client.Set(ctx, device, "x", 1); !errors.Is(err, client.ErrClosed) || !errors.Is(err, client.ErrReplaced) {
		t.Errorf("a write by the older client: %v", err)
	}
	if e, _, _ := client.Get[string](ctx, watcher, "device/7"); e.Value != "offline" {
		t.Errorf("device/7 is %q", e.Value)
	}
	if e, _, _ := client.Get[string](ctx, watcher, "device/8"); e.Value != "stays" {
		t.Errorf("device/8 is %q", e.Value)
	}
	must(again.Will(ctx, client.Will{Key: "device/7", Value: "gone"}))
	_ = again.Close()
	transporttest.Eventually(t, "the closed client has left", func() bool {
		_, ok, _ := client.Get[string](ctx, watcher, "device/7")
		return ok
	})
	if e, _, _ := client.Get[string](ctx, watcher, "device/7"); e.Value != "offline" {
		t.Errorf("after Close, device/7 is %q", e.Value)
	}
}
