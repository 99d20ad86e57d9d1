package jetstream_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"rtdb/keyspace/jetstream"
	"rtdb/keyspace/jetstream/natstest"
)

// BenchmarkBatches compares atomic batches (ADR-50 of NATS) with single messages: 1000 keys
// with one write in flight each, on three servers, by nats.go alone. Every message has the
// condition that commits have.
func BenchmarkBatches(b *testing.B) {
	for _, lazy := range []bool{false, true} {
		b.Run(fmt.Sprintf("lazy=%v", lazy), func(b *testing.B) {
			keys, sizes, rounds, length := 1000, []int{20, 100, 500}, 5, time.Second
			if testing.Short() {
				keys, sizes, rounds, length = 20, []int{20}, 1, 50*time.Millisecond
			}
			c := natstest.Start(b, natstest.Options{Servers: 3, Lazy: lazy})
			bare := newBare(b, c)
			bare.lead(b, c, bareStream)
			single := &writeSide{name: "single", write: bare.writer(true), heard: bare}
			rates := map[int][]float64{}
			for b.Loop() {
				for range rounds {
					single.round(b, keys, length)
					for _, size := range sizes {
						rates[size] = append(rates[size], bare.batches(b, keys, size, length))
					}
				}
			}
			b.ReportMetric(median(single.rates), "single-writes/s")
			for _, size := range sizes {
				b.ReportMetric(median(rates[size]), fmt.Sprintf("%d-writes/s", size))
				b.ReportMetric(medianRatio(rates[size], single.rates), fmt.Sprintf("%d-x-single", size))
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// batches writes the keys for a time by batches of a size, and returns the writes a second.
func (x *bare) batches(b *testing.B, keys, size int, length time.Duration) float64 {
	b.Helper()
	defer x.listen(b)()
	var running sync.WaitGroup
	var writes atomic.Int64
	began := time.Now()
	for first := 0; first < keys; first += size {
		running.Go(func() {
			for time.Since(began) < length {
				accepted, err := x.batch(first, size, nats.NewInbox())
				if err != nil {
					b.Errorf("a batch of %d: %v", size, err)
					return
				}
				if accepted {
					writes.Add(int64(size))
				}
			}
		})
	}
	running.Wait()
	return float64(writes.Load()) / time.Since(began).Seconds()
}

// batch publishes one batch. accepted is false if the stream still had a message of one of
// the keys in flight.
func (x *bare) batch(first, size int, id string) (accepted bool, err error) {
	for i := range size {
		key := benchKey(first + i)
		m := &nats.Msg{Subject: bareSubject(key), Data: benchValue, Header: nats.Header{
			"Nats-Expected-Last-Subject-Sequence": {strconv.FormatUint(*x.last(key), 10)},
			"Nats-Batch-Id":                       {id},
			"Nats-Batch-Sequence":                 {strconv.Itoa(i + 1)},
		}}
		if i < size-1 {
			if err := x.conn.PublishMsg(m); err != nil {
				return false, err
			}
			continue
		}
		m.Header.Set("Nats-Batch-Commit", "1")
		answer, err := x.conn.RequestMsg(m, 10*time.Second)
		if err != nil {
			return false, err
		}
		last := jetstream.ParseAnswer(answer.Data)
		if last == 0 {
			var refusal struct {
				Error struct {
					Code int `json:"err_code"`
				}
			}
			if err := json.Unmarshal(answer.Data, &refusal); err != nil || refusal.Error.Code != codeOverlap {
				return false, fmt.Errorf("refused: %s", answer.Data)
			}
			return false, nil
		}
		for n := range size {
			*x.last(benchKey(first + n)) = last - uint64(size-1-n)
		}
	}
	return true, nil
}
