package client_test

import (
	"errors"
	"fmt"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/transport/client"
)

// contents returns the values of a view.
func contents(v *client.View[int]) map[string]int {
	synctest.Wait()
	found := make(map[string]int)
	for key, e := range v.All() {
		found[key] = e.Value
	}
	return found
}

func wantContents(t *testing.T, v *client.View[int], want map[string]int) {
	t.Helper()
	if got := contents(v); !maps.Equal(got, want) {
		t.Errorf("the view has %v, want %v", got, want)
	}
}

// A subscription resumes from the revision of the last reply or pong, however high the
// versions are that came since: a lower one may still be on its way.
func TestTheRevisionToResumeFrom(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		c := f.mustDial()
		v := client.NewView[int](t.Context(), c, "a/#")
		defer v.Close()
		if err := v.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.last().update("a/1", 1, 150)
		f.last().cut()
		time.Sleep(6 * time.Second)
		f.set(func() { f.revision = 200 })
		time.Sleep(26 * time.Second) // a ping
		f.last().update("a/2", 2, 250)
		f.last().cut()
		time.Sleep(6 * time.Second)
		got := f.requests("subscribe")
		if len(got) != 3 || got[0].Since != 0 || got[1].Since != 100 || got[1].Epoch != "e" || got[2].Since != 200 {
			t.Errorf("the subscribes are %+v", got)
		}
		wantContents(t, v, map[string]int{"a/1": 1, "a/2": 2})
	})
}

// Updates that come out of order, or twice, never make a version go back.
func TestVersionsThatGoBack(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		c := f.mustDial()
		v := client.NewView[int](t.Context(), c, "a/#")
		defer v.Close()
		var seen []string
		go func() {
			for change, err := range client.Watch[int](t.Context(), c, "a/#") {
				if err != nil {
					return
				}
				seen = append(seen, fmt.Sprintf("%s=%d@%d", change.Key, change.Value, change.Version))
			}
		}()
		p := f.last()
		p.update("a/1", 1, 150)
		p.update("a/1", 9, 149)
		p.update("a/1", 9, 150)
		p.send(`{"key":"a/1","value":null,"version":151,"deleted":true}`)
		p.update("a/1", 9, 150)
		p.send(`{"key":"a/2","value":null,"version":151,"deleted":true}`)
		p.update("a/2", 9, 150)
		p.update("b", 9, 160) // it was not subscribed to
		p.update("a/1", 2, 152)
		wantContents(t, v, map[string]int{"a/1": 2})
		if want := "[a/1=1@150 a/1=0@151 a/1=2@152]"; fmt.Sprint(seen) != want {
			t.Errorf("the watch saw %v, want %s", seen, want)
		}

		// A resume repeats some of them, and has one that is older.
		f.set(func() {
			f.handle = func(p *peer, r request) bool {
				if r.Action == "subscribe" {
					p.update("a/1", 9, 149)
					p.update("a/1", 9, 152)
					p.update("a/3", 3, 153)
				}
				return false
			}
		})
		p.cut()
		time.Sleep(time.Second)
		wantContents(t, v, map[string]int{"a/1": 2, "a/3": 3})
		if len(seen) != 4 {
			t.Errorf("the watch saw %v", seen)
		}
	})
}

// A snapshot that is cut off is followed by a whole one. Keys of the first that are not in
// the second are gone.
func TestASnapshotIsCutOff(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		f.handle = func(p *peer, r request) bool {
			if r.Action == "subscribe" {
				p.update("a/1", 1, 50)
				p.update("a/2", 2, 51)
				if len(f.peers()) == 1 {
					p.cut()
				}
			}
			return false
		}
		c := f.mustDial()
		watch := pull(t, client.Watch[int](t.Context(), c, "a/#", client.WithMarks()))
		watch.next()
		watch.next()
		f.set(func() {
			f.handle = func(p *peer, r request) bool {
				if r.Action == "subscribe" {
					if r.Since != 0 {
						t.Errorf("the client resumes from %d", r.Since)
					}
					p.update("a/2", 2, 51)
					p.update("a/3", 3, 90)
				}
				return false
			}
		})
		got := map[string]bool{}
		for change := watch.next(); change.Mark == 0; change = watch.next() {
			if !change.Snapshot || got[change.Key] {
				t.Errorf("%+v", change)
			}
			got[change.Key] = true
			if change.Deleted != (change.Key == "a/1") {
				t.Errorf("%+v", change)
			}
		}
		if len(got) != 2 {
			t.Errorf("the watch got %v", got)
		}
	})
}

// After a reset the keys that did not come again are reported as deleted, and the others
// only if they have changed. It happens in one step, at the reply.
func TestAReset(t *testing.T) {
	for _, epoch := range []string{"e", "another"} {
		inBubble(t, func(t *testing.T, f *fake) {
			first := true
			f.handle = func(p *peer, r request) bool {
				if r.Action != "subscribe" {
					return false
				}
				if first {
					for i := range 4 {
						p.update(fmt.Sprintf("a/%d", i), i, 50+i)
					}
					first = false
					return false
				}
				p.update("a/1", 1, 51) // unchanged
				p.update("a/2", 20, 70)
				p.update("a/3", 30, 10) // older, but it is the server's state
				p.update("a/5", 5, 71)
				p.send(`{"key":"a/5","value":null,"version":72,"deleted":true}`) // live
				time.Sleep(time.Second)
				p.reply(r, fmt.Sprintf(`"revision":200,"epoch":%q,"reset":true`, epoch))
				return true
			}
			c := f.mustDial()
			v := client.NewView[int](t.Context(), c, "a/#")
			defer v.Close()
			changes := map[string]client.Change[int]{}
			go func() {
				for change, err := range client.Watch[int](t.Context(), c, "a/#") {
					if err != nil {
						return
					}
					changes[change.Key] = change
				}
			}()
			before := map[string]int{"a/0": 0, "a/1": 1, "a/2": 2, "a/3": 3}
			wantContents(t, v, before)
			clear(changes)
			f.last().cut()
			for len(f.requests("subscribe")) < 2 {
				time.Sleep(10 * time.Millisecond)
			}
			time.Sleep(500 * time.Millisecond)
			wantContents(t, v, before)
			if !v.Stale() {
				t.Error("the view is not stale before the reply")
			}
			time.Sleep(time.Second)
			wantContents(t, v, map[string]int{"a/1": 1, "a/2": 20, "a/3": 30})
			if v.Stale() {
				t.Error("the view is stale after the reply")
			}
			if gone := changes["a/0"]; !gone.Deleted || gone.Version != 200 || !gone.Snapshot {
				t.Errorf("a/0: %+v", gone)
			}
			if _, told := changes["a/1"]; told != (epoch != "e") { // of another epoch nothing is known
				t.Errorf("a/1 was told: %t", told)
			}
			if len(changes) > 4 || changes["a/2"].Value != 20 || changes["a/3"].Version != 10 {
				t.Errorf("the changes are %v", changes)
			}
		})
	}
}

// Watches and views of a pattern share a subscription, and the last one ends it. A new one
// does not take the updates that are still on their way to the old one.
func TestOneSubscriptionForAPattern(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		c := f.mustDial()
		v := client.NewView[int](t.Context(), c, "a/#")
		w := client.NewView[int](t.Context(), c, "a/#")
		f.last().update("a/1", 1, 150)
		wantContents(t, v, map[string]int{"a/1": 1})
		wantContents(t, w, map[string]int{"a/1": 1})
		v.Close()
		if n := len(f.requests("unsubscribe")); n != 0 {
			t.Errorf("%d unsubscribes", n)
		}
		hold := make(chan struct{})
		f.set(func() {
			f.handle = func(p *peer, r request) bool {
				if r.Action == "unsubscribe" {
					<-hold
					p.update("a/1", 2, 151) // of the old subscription; then a/1 is deleted
				}
				return false
			}
		})
		w.Close()
		x := client.NewView[int](t.Context(), c, "a/#")
		defer x.Close()
		synctest.Wait()
		close(hold)
		if err := x.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantContents(t, x, map[string]int{})
		wantContents(t, w, map[string]int{"a/1": 1})
		if n := len(f.requests("subscribe")); n != 2 {
			t.Errorf("%d subscribes", n)
		}
	})
}

// A refusal ends a subscription, unless its reason may pass.
func TestRefusedSubscriptions(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		refuse := func(code string) { // "": refuse nothing
			f.set(func() {
				f.handle = func(p *peer, r request) bool {
					if r.Action == "subscribe" && code != "" {
						p.fail(r, code)
						return true
					}
					return false
				}
			})
		}
		refuse("forbidden")
		c := f.mustDial()
		if err := pull(t, client.Watch[int](t.Context(), c, "a")).fails(); !errors.Is(err, client.ErrForbidden) {
			t.Errorf("a watch: %v", err)
		}
		refuse("limit_reached")
		v := client.NewView[int](t.Context(), c, "a")
		if err := v.Ready(t.Context()); err == nil || !v.Stale() {
			t.Errorf("a view: %v", err)
		}
		refuse("unavailable")
		w := client.NewView[int](t.Context(), c, "a")
		defer w.Close()
		time.AfterFunc(5*time.Minute, func() { refuse("") })
		if err := w.Ready(t.Context()); err != nil {
			t.Errorf("a view: %v", err)
		}
		if n := len(f.requests("subscribe")); n > 2+60 {
			t.Errorf("%d subscribes in 5 minutes", n)
		}
		refuse("limit_reached") // after a reconnection it may pass
		f.last().cut()
		time.AfterFunc(time.Minute, func() { refuse("") })
		time.Sleep(2 * time.Minute)
		if w.Stale() || w.Err() != nil {
			t.Errorf("the view: stale %t, %v", w.Stale(), w.Err())
		}
	})
}

// A new token that covers less ends the subscriptions that it does not cover, and no
// others.
func TestANewTokenCoversLess(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		var m mint
		renewed := false
		f.handle = func(p *peer, r request) bool {
			switch {
			case r.Action == "auth":
				renewed = true
				p.reply(r, `"ended":["a"]`)
			case r.Action == "subscribe" && renewed && r.Key == "a":
				p.fail(r, "forbidden")
			default:
				return false
			}
			return true
		}
		c := f.mustDial(client.WithToken(m.token))
		a := client.NewView[int](t.Context(), c, "a")
		b := client.NewView[int](t.Context(), c, "b")
		defer a.Close()
		defer b.Close()
		topic := pull(t, client.Listen[int](t.Context(), c, "a"))
		go func() { f.last().send(`{"topic":"a","value":1}`) }()
		topic.next()
		time.Sleep(time.Minute)
		f.last().send(`{"action":"auth","expires_in":30}`)
		time.Sleep(time.Second)
		if err := a.Err(); !errors.Is(err, client.ErrForbidden) || !a.Stale() {
			t.Errorf("the view that ends: %v", err)
		}
		if b.Err() != nil || b.Stale() {
			t.Errorf("the other view: %v, stale %t", b.Err(), b.Stale())
		}
	})
}

// A view whose subscription ended with the old token is stale until the server has answered
// for the new one.
func TestStaleWhileANewTokenCounts(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		var m mint
		renewed := false
		f.handle = func(p *peer, r request) bool {
			switch {
			case r.Action == "auth":
				renewed = true
				p.reply(r, `"ended":["a"]`)
			case r.Action == "subscribe" && renewed: // answered later
			default:
				return false
			}
			return true
		}
		c := f.mustDial(client.WithToken(m.token))
		v := client.NewView[int](t.Context(), c, "a")
		defer v.Close()
		time.Sleep(time.Minute)
		f.last().send(`{"action":"auth","expires_in":30}`)
		time.Sleep(time.Second)
		all := f.requests("subscribe")
		late := all[len(all)-1]
		if len(all) != 2 || !v.Stale() {
			t.Errorf("before the reply to %+v: stale is %t", late, v.Stale())
		}
		f.last().reply(late, `"revision":100,"epoch":"e"`)
		synctest.Wait()
		if v.Stale() || v.Err() != nil {
			t.Errorf("after it: stale is %t, %v", v.Stale(), v.Err())
		}
	})
}

// A will is left again with each connection, until it is withdrawn. It follows the name.
func TestWillsAreLeftAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fake) {
		c := f.mustDial(client.WithName("n"))
		withdraw := must(c.Will(t.Context(), client.Will{Key: "a", Value: "gone"}))
		must(c.Will(t.Context(), client.Will{Topic: "t", Value: "gone"}))
		f.last().cut()
		time.Sleep(6 * time.Second)
		if n := len(f.requests("will")); n != 4 {
			t.Errorf("%d wills after a reconnection", n)
		}
		if err := withdraw(t.Context()); err != nil {
			t.Error(err)
		}
		if all := f.requests("will"); len(all) != 5 || all[4].Key != "a" || all[4].Value != nil {
			t.Errorf("withdrawn by %+v", all[4:])
		}
		f.last().cut()
		time.Sleep(6 * time.Second)
		if all := f.requests("will"); len(all) != 6 || all[5].Topic != "t" {
			t.Errorf("after a withdrawal: %+v", all[5:])
		}
		first := must(c.Will(t.Context(), client.Will{Topic: "t", Value: "gone"}))
		must(c.Will(t.Context(), client.Will{Topic: "t", Value: "replaced"}))
		if err := first(t.Context()); err != nil || len(f.requests("will")) != 8 {
			t.Errorf("a will that was replaced: %v, withdrawn by %+v", err, f.requests("will")[8:])
		}
		f.set(func() {
			f.handle = func(p *peer, r request) bool {
				if r.Action == "will" {
					p.fail(r, "forbidden")
				}
				return r.Action == "will"
			}
		})
		if _, err := c.Will(t.Context(), client.Will{Key: "b", Value: 1}); !errors.Is(err, client.ErrForbidden) {
			t.Errorf("a will that is refused: %v", err)
		}
		f.last().cut()
		time.Sleep(6 * time.Second)
		if all := f.requests("will"); len(all) != 10 || all[9].Topic != "t" {
			t.Errorf("a refused will is left again: %+v", all[9:])
		}
	})
}
