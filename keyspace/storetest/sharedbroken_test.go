package storetest

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"rtdb/keyspace"
)

// A brokenHub is a hub that is broken on purpose, and the check that has to find it.
type brokenHub struct {
	check string
	how   string
	fault hubFault
}

// loses returns a fault of a feed that does not pass some records of others.
func loses(which func(s *HubStore, w *keyspace.Record) bool) hubFault {
	return hubFault{deliver: func(s *HubStore, commits []hubCommit) []hubCommit {
		for i, c := range commits {
			commits[i].records = slices.DeleteFunc(slices.Clone(c.records), func(w keyspace.Record) bool { return which(s, &w) })
		}
		return commits
	}}
}

func brokenHubs() []brokenHub {
	var count atomic.Uint64
	each := func(n uint64) bool { return count.Add(1)%n == 0 }
	deletes := loses(func(_ *HubStore, w *keyspace.Record) bool { return isDelete(w) })
	touches := loses(func(_ *HubStore, w *keyspace.Record) bool { return w.Touch })
	epochs := hubFault{history: func(s *HubStore, h *keyspace.History) { h.Epoch = fmt.Sprint(h.Epoch, s.index) }}
	mail := func(change func(mail []hubMessage) []hubMessage) hubFault {
		return hubFault{mail: func(_ *HubStore, mail []hubMessage) []hubMessage { return change(mail) }}
	}
	return []brokenHub{
		{"SharedConditions", "positions are not compared", hubFault{blind: true}},
		{"SharedConditions", "a conflict comes without the records", hubFault{silent: true}},
		{"SharedMerges", "positions are not compared", hubFault{blind: true}},
		{"SharedMerges", "a conflict comes without the records", hubFault{silent: true}},
		{"SharedNewest", "a barrier returns at once", hubFault{noBarrier: true}},
		{"SharedNewest", "deletes are lost", deletes},
		{"SharedRuns", "the last write of a commit is lost", hubFault{deliver: func(_ *HubStore, commits []hubCommit) []hubCommit {
			for i, c := range commits {
				if n := len(c.records); n > 1 {
					commits[i].records = c.records[:n-1]
				}
			}
			return commits
		}}},
		{"SharedLinear", "positions are not compared", hubFault{blind: true}},
		{"SharedLinear", "a conflict comes without the records", hubFault{silent: true}},
		{"SharedOrder", "some records are lost", loses(func(*HubStore, *keyspace.Record) bool { return each(5) })},
		{"SharedOrder", "some records come too late", hubFault{deliver: func(_ *HubStore, commits []hubCommit) []hubCommit {
			slices.Reverse(commits)
			return commits
		}}},
		{"SharedOrder", "versions differ", hubFault{number: func(s *HubStore, w *keyspace.Record) { w.Version += uint64(s.index) }}},
		{"SharedOrder", "epochs differ", epochs},
		{"SharedOrder", "a record is cut", hubFault{number: func(_ *HubStore, w *keyspace.Record) {
			if w.Value != nil && each(20) {
				w.Value = w.Value[1:]
			}
		}}},
		{"SharedRevision", "it advances too early", hubFault{early: true}},
		{"SharedRevision", "it never advances", hubFault{stuck: true}},
		{"SharedTouch", "touches are lost", touches},
		{"SharedTouch", "times are lost", hubFault{number: func(_ *HubStore, w *keyspace.Record) { w.Expires = time.Time{} }}},
		{"SharedTouchRace", "touches are lost", touches},
		{"SharedExpiry", "deletes are lost", deletes},
		{"SharedResume", "epochs differ", epochs},
		{"SharedResume", "deletes are lost", deletes},
		{"SharedAhead", "it never advances", hubFault{stuck: true}},
		{"SharedJoin", "the feed begins too late", hubFault{gap: true}},
		{"SharedRejoin", "touches are not loaded", hubFault{load: func(w *keyspace.Record) bool { return !w.Touch }}},
		{"SharedRejoin", "deletes are not loaded", hubFault{load: func(w *keyspace.Record) bool { return !isDelete(w) }}},
		{"SharedRejoin", "epochs differ", epochs},
		{"SharedTopics", "messages are lost", mail(func(mail []hubMessage) []hubMessage { return mail[:len(mail)-len(mail)/2] })},
		{"SharedTopics", "messages come twice", mail(func(mail []hubMessage) []hubMessage { return append(mail, mail...) })},
		{"SharedTopics", "messages come in another order", mail(func(mail []hubMessage) []hubMessage { slices.Reverse(mail); return mail })},
	}
}

func sharedCheckOf(name string) sharedCheck {
	return sharedChecks[slices.IndexFunc(sharedChecks, func(c sharedCheck) bool { return c.name == name })]
}

func TestABrokenHubFails(t *testing.T) {
	t.Parallel()
	for _, b := range brokenHubs() {
		t.Run(b.check+"/"+b.how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := sharedOptions(HubOptions{Delay: upTo(time.Millisecond)}, b.fault)
				shared := sharedCheckOf(b.check)
				r := record(t, check{name: b.check, run: func(tb testing.TB, _ Options) { shared.run(newCluster(tb, o, b.check)) }}, Options{})
				if len(r.failures) == 0 {
					t.Fatal("the hub passes")
				}
				t.Log(r.failures[0])
			})
		})
	}
}

func TestEachSharedCheckFindsABrokenHub(t *testing.T) {
	for _, c := range sharedChecks {
		if !slices.ContainsFunc(brokenHubs(), func(b brokenHub) bool { return b.check == c.name }) {
			t.Errorf("no hub is so broken that %s has to find it", c.name)
		}
	}
}
