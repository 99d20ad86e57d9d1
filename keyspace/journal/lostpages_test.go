package journal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A sync that failed has lost the data that it was to make durable, although they can be read
// until the system ends. The next process makes the data that it reads durable.
func TestASyncThatFailedLosesItsPages(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			d := newDisk()
			fault, arm, _ := once("sync", ".log", syscall.EIO)
			d.setFault(fault)
			j := openWith(t, d, Options{})
			for n := range random.IntN(4) {
				if err := commit(j, fmt.Sprint("before", n)); err != nil {
					t.Fatal(err)
				}
			}
			if seed%2 == 0 {
				time.Sleep(time.Second) // a frame says that all is durable
			}
			arm()
			if err := commit(j, "during"); err == nil {
				t.Fatal("the sync has not failed")
			}
			_ = j.Close()
			d.setFault(nil)
			j, state, _, err := load(d, Always, 1)
			if err != nil {
				t.Fatal(err)
			}
			if err := commit(j, "after"); err != nil {
				t.Fatal(err)
			}
			if seed%3 == 0 {
				d.start() // it is killed
			}
			_ = j.Close()
			keys := keysOf(t, d.afterCut(random))
			for key := range state.keys {
				if !slices.Contains(keys, key) {
					t.Errorf("%s was visible, and is lost", key)
				}
			}
			if !slices.Contains(keys, "after") {
				t.Errorf("a write that was answered is lost: there are %v", keys)
			}
		})
	}
}

// The same of the seal of a segment, which the next process takes for durable.
func TestASealWhoseSyncFailed(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			d := newDisk()
			j := openWith(t, d, Options{})
			if err := commit(j, "before"); err != nil {
				t.Fatal(err)
			}
			rotated := false
			d.setFault(func(op, name string) error {
				rotated = rotated || op == "rename" && name == segmentName(2)
				if op == "sync" && rotated {
					return syscall.EIO
				}
				return nil
			})
			if err := j.requestRotation(); !errors.Is(err, syscall.EIO) {
				t.Fatal(err)
			}
			_ = j.Close()
			d.setFault(nil)
			j, _, _, err := load(d, Always, 1)
			if err != nil {
				t.Fatal(err)
			}
			if err := commit(j, "after"); err != nil {
				t.Fatal(err)
			}
			d.start() // it is killed
			_ = j.Close()
			if keys := keysOf(t, d.afterCut(random)); len(keys) != 2 {
				t.Errorf("there are %v", keys)
			}
		})
	}
}
