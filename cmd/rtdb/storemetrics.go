package main

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"rtdb/keyspace/journal"
)

// storeMetrics are the metrics of a store. They implement [prometheus.Collector].
type storeMetrics struct {
	usage   func() journal.Usage
	room    func() error // the reason if values are refused; nil: they are not
	reserve int64

	wait, sync, groupWrites    prometheus.Histogram
	snapshots, snapshotFailure prometheus.Counter
	snapshot                   prometheus.Histogram

	writes, bytes atomic.Uint64 // of the log
}

var (
	descStoreWritten  = prometheus.NewDesc("rtdb_store_written_bytes_total", "Bytes of writes that were appended to the log of the store.", nil, nil)
	descStoreUsed     = prometheus.NewDesc("rtdb_store_disk_used_bytes", "Bytes of the files of the store.", nil, nil)
	descStoreFree     = prometheus.NewDesc("rtdb_store_disk_free_bytes", "Bytes that the store may still write to its disk.", nil, nil)
	descStoreReserve  = prometheus.NewDesc("rtdb_store_disk_reserve_bytes", "Free bytes below which values are refused; 0 means no reserve.", nil, nil)
	descStoreSegments = prometheus.NewDesc("rtdb_store_segments", "Segments of the log: its files.", nil, nil)
	descStoreRefusing = prometheus.NewDesc("rtdb_store_refusing", "1 while values are refused because less than the reserve is free, else 0.", nil, nil)
)

func newStoreMetrics(reserve int64) *storeMetrics {
	times := prometheus.ExponentialBuckets(25e-6, 2, 20) // 25 µs to 13 s
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	return &storeMetrics{
		reserve: reserve,
		wait: histogram("rtdb_store_wait_seconds",
			"Time from the first write of a group until the server begins to write the group to the log.", times),
		sync: histogram("rtdb_store_sync_seconds",
			"Time to write a group and make it durable or, with an interval, to make the log durable.", times),
		groupWrites: histogram("rtdb_store_group_writes",
			"Writes that were committed together.", prometheus.ExponentialBuckets(1, 2, 14)), // 1 to 8192
		snapshots:       counter("rtdb_store_snapshots_total", "Snapshots that were written."),
		snapshotFailure: counter("rtdb_store_snapshot_failures_total", "Snapshots that failed. The server tries again."),
		snapshot: histogram("rtdb_store_snapshot_seconds",
			"Time to write a snapshot.", prometheus.ExponentialBuckets(0.01, 2, 15)), // 10 ms to 164 s
	}
}

// committed counts a group. The committer calls it up to 7,000 times a second, and writes
// nothing meanwhile. It takes 0.15 µs (BenchmarkCommitted).
func (m *storeMetrics) committed(g journal.Group) {
	m.wait.Observe(g.Wait.Seconds())
	if g.Sync > 0 {
		m.sync.Observe(g.Sync.Seconds())
	}
	m.groupWrites.Observe(float64(g.Writes))
	m.writes.Add(uint64(g.Writes))
	m.bytes.Add(uint64(g.Bytes))
}

func (m *storeMetrics) synced(took time.Duration) { m.sync.Observe(took.Seconds()) }

func (m *storeMetrics) snapshotted(took time.Duration, err error) {
	if err != nil {
		m.snapshotFailure.Inc()
		return
	}
	m.snapshots.Inc()
	m.snapshot.Observe(took.Seconds())
}

func (m *storeMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.wait, m.sync, m.groupWrites, m.snapshots, m.snapshotFailure, m.snapshot}
}

// Describe sends the descriptions of the metrics.
func (m *storeMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, c := range m.collectors() {
		c.Describe(to)
	}
	for _, d := range []*prometheus.Desc{
		descStoreWritten, descStoreUsed, descStoreFree, descStoreReserve, descStoreSegments, descStoreRefusing,
	} {
		to <- d
	}
}

// Collect sends the metrics.
func (m *storeMetrics) Collect(to chan<- prometheus.Metric) {
	for _, c := range m.collectors() {
		c.Collect(to)
	}
	gauge := func(d *prometheus.Desc, value float64) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value)
	}
	to <- prometheus.MustNewConstMetric(descStoreWritten, prometheus.CounterValue, float64(m.bytes.Load()))
	u := m.usage()
	gauge(descStoreUsed, float64(u.Used))
	gauge(descStoreFree, float64(u.Free))
	gauge(descStoreReserve, float64(m.reserve))
	gauge(descStoreSegments, float64(u.Segments))
	refusing := 0.0
	if m.room() != nil {
		refusing = 1
	}
	gauge(descStoreRefusing, refusing)
}
