package session_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/keyspace"
	"rtdb/session"
)

// setWill sets a will, or withdraws it if value is "".
func (f fixture) setWill(t *testing.T, target keyspace.Target, value string) {
	t.Helper()
	w := session.Will{Target: target}
	if value != "" {
		w.Change.Value = []byte(value)
	}
	if err := f.SetWill(t.Context(), w); err != nil {
		t.Errorf("SetWill(%v, %q): %v", target, value, err)
	}
}

// end ends the session and expects what the keys hold then; "" is no value.
func (f fixture) end(t *testing.T, want map[string]string) {
	t.Helper()
	f.Close(errDone)
	if _, err := f.End(t.Context()); err != nil {
		t.Errorf("End: %v", err)
	}
	for key, value := range want {
		if e, err := f.ks.Get(key); string(e.Value) != value || (err == nil) != (value != "") {
			t.Errorf("%s holds %q, %v; want %q", key, e.Value, err, value)
		}
	}
}

// The last will of each target is written, and subscribers have it when End returns.
func TestWillsAreWrittenAtTheEnd(t *testing.T) {
	inBubble(t, session.Options{}, new(fakeConn), func(t *testing.T, f fixture) {
		other := new(fakeConn)
		s := session.New(f.ks, other, session.Options{Encoder: encoder})
		if err := s.Subscribe(t.Context(), targets(keyspace.Key("replaced")), session.Start{}, noReply); err != nil {
			t.Fatal(err)
		}
		f.setWill(t, keyspace.Key("replaced"), "1")
		f.setWill(t, keyspace.Key("replaced"), "2")
		f.setWill(t, keyspace.Key("withdrawn"), "3")
		f.setWill(t, keyspace.Key("withdrawn"), "")
		f.setWill(t, keyspace.Key("null"), "null")
		f.setWill(t, keyspace.Key("never"), "") // nothing to withdraw
		f.end(t, map[string]string{"replaced": "2", "withdrawn": "", "null": "null", "never": ""})
		s.Close(errDone)
		if _, err := s.End(t.Context()); err != nil {
			t.Error(err)
		}
		other.want(t, `{"key":"replaced","value":2}`)
	})
}

func TestAWillMayBeForATopic(t *testing.T) {
	inBubble(t, session.Options{}, new(fakeConn), func(t *testing.T, f fixture) {
		other := new(fakeConn)
		s := session.New(f.ks, other, session.Options{Encoder: encoder})
		if err := s.Subscribe(t.Context(), targets(keyspace.Topic("t")), session.Start{}, noReply); err != nil {
			t.Fatal(err)
		}
		f.setWill(t, keyspace.Topic("t"), "1")
		f.setWill(t, keyspace.Key("t"), "2") // a key of the same name is another target
		f.end(t, map[string]string{"t": "2"})
		s.Close(errDone)
		if _, err := s.End(t.Context()); err != nil {
			t.Error(err)
		}
		other.want(t, `{"topic":"t","value":1}`)
	})
}

func TestWithdrawWillsWithdrawsAll(t *testing.T) {
	inBubble(t, session.Options{}, new(fakeConn), func(t *testing.T, f fixture) {
		f.setWill(t, keyspace.Key("a"), "1")
		f.setWill(t, keyspace.Key("b"), "1")
		f.WithdrawWills()
		f.setWill(t, keyspace.Key("c"), "1")
		f.end(t, map[string]string{"a": "", "b": "", "c": "1"})
	})
}

func TestAWillIsNotWrittenIfItIsNotPermitted(t *testing.T) {
	o := session.Options{PermitWill: func(w session.Will) bool { return w.Target != keyspace.Key("a") }}
	inBubble(t, o, new(fakeConn), func(t *testing.T, f fixture) {
		f.setWill(t, keyspace.Key("a"), "1")
		f.setWill(t, keyspace.Key("b"), "1")
		f.end(t, map[string]string{"a": "", "b": "1"})
	})
}

// All wills of a session together are limited. A will that is refused leaves the earlier
// one in its place.
func TestTheSizeOfAllWillsIsLimited(t *testing.T) {
	inBubble(t, session.Options{MaxPendingBytes: 1000}, new(fakeConn), func(t *testing.T, f fixture) {
		long := `"` + strings.Repeat("x", 600) + `"`
		f.setWill(t, keyspace.Key("a"), long)
		f.setWill(t, keyspace.Key("a"), long) // replaces itself
		for _, key := range []string{"a", "b"} {
			w := session.Will{Target: keyspace.Key(key), Change: keyspace.Change{Value: []byte(long + strings.Repeat(" ", 400))}}
			if err := f.SetWill(t.Context(), w); !errors.Is(err, session.ErrTooMany) {
				t.Errorf("a will of 1000 bytes for %s: %v, want ErrTooMany", key, err)
			}
		}
		f.end(t, map[string]string{"a": long, "b": ""})
	})
}

// If memory is short, a session may only make its wills smaller.
func TestWillsMayNotGrowIfMemoryIsShort(t *testing.T) {
	crowded := false
	o := session.Options{Crowded: func() bool { return crowded }}
	inBubble(t, o, new(fakeConn), func(t *testing.T, f fixture) {
		f.setWill(t, keyspace.Key("a"), "100")
		crowded = true
		if err := f.SetWill(t.Context(), session.Will{Target: keyspace.Key("b"), Change: keyspace.Change{Value: []byte("1")}}); !errors.Is(err, session.ErrTooMany) {
			t.Errorf("another will: %v, want ErrTooMany", err)
		}
		f.setWill(t, keyspace.Key("a"), "1")
		f.end(t, map[string]string{"a": "1", "b": ""})
		crowded = false
	})
}

// A will may have a condition and a time to live, and may delete. It is decided when it
// fires.
func TestAWillIsAWholeChange(t *testing.T) {
	inBubble(t, session.Options{}, new(fakeConn), func(t *testing.T, f fixture) {
		versions := map[string]uint64{}
		for _, key := range []string{"same", "changed", "deleted", "late", "ttl"} {
			version, err := f.ks.Set(t.Context(), key, []byte(`"online"`))
			if err != nil {
				t.Fatal(err)
			}
			versions[key] = version
		}
		at := func(key string) func(uint64) bool {
			return func(version uint64) bool { return version == versions[key] }
		}
		for key, c := range map[string]keyspace.Change{
			"same":     {Value: []byte(`"gone"`), If: at("same")},
			"changed":  {Value: []byte(`"gone"`), If: at("changed")},
			"deleted":  {Delete: true, If: at("deleted")},
			"late":     {Delete: true, If: at("late")},
			"ttl":      {Value: []byte(`"gone"`), TTL: time.Minute},
			"no key":   {Delete: true}, // nothing to delete is no failure
			"no key 2": {Value: []byte(`"gone"`), If: func(version uint64) bool { return version != 0 }},
		} {
			if err := f.SetWill(t.Context(), session.Will{Target: keyspace.Key(key), Change: c}); err != nil {
				t.Fatal(err)
			}
		}
		for _, key := range []string{"changed", "late"} { // the client's next session writes
			if _, err := f.ks.Set(t.Context(), key, []byte(`"online again"`)); err != nil {
				t.Fatal(err)
			}
		}
		f.end(t, map[string]string{
			"same": `"gone"`, "changed": `"online again"`, "deleted": "", "late": `"online again"`, "ttl": `"gone"`, "no key": "", "no key 2": "",
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		if _, err := f.ks.Get("ttl"); !errors.Is(err, keyspace.ErrNotFound) {
			t.Errorf("the will's key: %v, want it expired", err)
		}
	})
}
