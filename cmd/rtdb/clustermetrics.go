package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"rtdb/keyspace/jetstream"
)

// clusterMetrics are the metrics of a store in NATS. They implement [prometheus.Collector].
type clusterMetrics struct {
	status       func() jetstream.Status
	node, stream string
}

// A clusterMetric is a metric that is read from the store's status.
type clusterMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*jetstream.Status) float64
}

func clusterGauge(name, help string, value func(*jetstream.Status) float64) clusterMetric {
	return clusterMetric{prometheus.NewDesc(name, help, nil, nil), prometheus.GaugeValue, value}
}

func clusterCounter(name, help string, value func(*jetstream.Status) uint64) clusterMetric {
	return clusterMetric{prometheus.NewDesc(name, help, nil, nil), prometheus.CounterValue,
		func(s *jetstream.Status) float64 { return float64(value(s)) }}
}

var (
	descClusterNode = prometheus.NewDesc("rtdb_cluster_node_info", "1, with the name of the node and of its stream.", []string{"node", "stream"}, nil)

	allClusterMetrics = []clusterMetric{
		clusterGauge("rtdb_cluster_connected", "1 while the node is connected to a NATS server, else 0.",
			func(s *jetstream.Status) float64 { return oneIf(s.Connected) }),
		clusterGauge("rtdb_cluster_ready", "1 while the node is ready, as /readyz says, else 0.",
			func(s *jetstream.Status) float64 { return oneIf(s.Ready == nil) }),
		clusterGauge("rtdb_cluster_peers", "Other nodes that are alive.",
			func(s *jetstream.Status) float64 { return float64(s.Peers) }),
		clusterGauge("rtdb_cluster_feed_sequence", "Sequence in the stream up to which the node has all messages.",
			func(s *jetstream.Status) float64 { return float64(s.Place) }),
		clusterGauge("rtdb_cluster_feed_lag_messages", "Messages of the stream that the node has received and not handled.",
			func(s *jetstream.Status) float64 { return float64(s.Waiting) }),
		clusterGauge("rtdb_cluster_feed_lag_seconds", "Time by which the node's state may be older than the stream's.",
			func(s *jetstream.Status) float64 { return s.Lag.Seconds() }),
		clusterGauge("rtdb_cluster_proposals_in_flight", "Commits that wait for the stream's answer.",
			func(s *jetstream.Status) float64 { return float64(s.InFlight) }),
		clusterCounter("rtdb_cluster_conflicts_total", "Commits that were planned again, because another node had written the key.",
			func(s *jetstream.Status) uint64 { return s.Conflicts }),
		clusterCounter("rtdb_cluster_unknown_outcomes_total", "Commits whose outcome the node could not learn in time.",
			func(s *jetstream.Status) uint64 { return s.Unknown }),
		clusterCounter("rtdb_cluster_reconnects_total", "Connections to a NATS server after the first.",
			func(s *jetstream.Status) uint64 { return s.Reconnects }),
		clusterCounter("rtdb_cluster_filled_messages_total", "Messages that the node missed and read from the stream.",
			func(s *jetstream.Status) uint64 { return s.Filled }),
		clusterCounter("rtdb_cluster_foreign_messages_total", "Messages in the stream that rtdb has not made, and that nodes ignore.",
			func(s *jetstream.Status) uint64 { return s.Foreign }),
	}
)

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// Describe sends the descriptions of the metrics.
func (m *clusterMetrics) Describe(to chan<- *prometheus.Desc) {
	to <- descClusterNode
	for i := range allClusterMetrics {
		to <- allClusterMetrics[i].desc
	}
}

// Collect sends the metrics.
func (m *clusterMetrics) Collect(to chan<- prometheus.Metric) {
	to <- prometheus.MustNewConstMetric(descClusterNode, prometheus.GaugeValue, 1, m.node, m.stream)
	status := m.status()
	for i := range allClusterMetrics {
		x := &allClusterMetrics[i]
		to <- prometheus.MustNewConstMetric(x.desc, x.kind, x.value(&status))
	}
}
