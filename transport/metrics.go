package transport

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"rtdb/keyspace"
	"rtdb/session"
)

// sampling is the number of writes, and of sends to a socket, of which one is timed:
// looking at the clock costs more than counting.
const sampling = 8

// metrics are the metrics that Prometheus collects. The counts of sessions are added up
// when Prometheus asks, and cost nothing in between.
type metrics struct {
	keyspace *keyspace.Keyspace
	registry *prometheus.Registry
	writes   map[string]prometheus.Counter // by the code of the error, or "ok"
	requests *prometheus.CounterVec        // by route and status
	ok       map[string]prometheus.Counter // those of requests with status 200, by route
	ends     *prometheus.CounterVec        // of sessions, by reason
	received prometheus.Counter
	commit   sampled
	socket   sampled
}

// A sampled is a histogram of a sample of events.
type sampled struct {
	prometheus.Histogram
}

// due reports whether this event is to be timed. It draws lots: a counter would be a line of the
// cache that the processors take from each other.
func (s *sampled) due() bool { return rand.Uint32()%sampling == 0 }

func newMetrics(ks *keyspace.Keyspace, clients *registry, o Options) *metrics {
	m := &metrics{
		keyspace: ks,
		registry: prometheus.NewRegistry(),
		writes:   make(map[string]prometheus.Counter),
		ok:       make(map[string]prometheus.Counter),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rtdb_http_requests_total",
			Help: "HTTP requests answered, WebSocket handshakes included. An event stream that is refused for a while counts with the status of its error.",
		}, []string{"route", "code"}),
		ends: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rtdb_session_ends_total", Help: "Sessions that have ended, by reason.",
		}, []string{"reason"}),
		received: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "rtdb_received_messages_total", Help: "Messages that clients sent on WebSockets.",
		}),
	}
	times := prometheus.ExponentialBuckets(25e-6, 2, 20) // 25 µs to 13 s
	m.commit.Histogram = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "rtdb_write_commit_seconds", Buckets: times,
		Help: "Time from the parsing of a write until it took effect; one write in eight is timed.",
	})
	m.socket.Histogram = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "rtdb_write_socket_seconds", Buckets: times,
		Help: "Time from when a write took effect until the system took its update for a WebSocket or an event stream; one send in eight is timed, by its oldest update.",
	})
	writes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "rtdb_writes_total", Help: "Writes of keys that clients asked for, deletes and patches included, by result.",
	}, []string{"result"})
	for code := range statuses {
		m.writes[code] = writes.WithLabelValues(code)
	}
	m.writes["ok"] = writes.WithLabelValues("ok")
	m.ends.WithLabelValues("internal error") // so that Prometheus sees the first one as an increase
	m.registry.MustRegister(m.requests, m.ends, m.received, writes, m.commit.Histogram, m.socket.Histogram,
		&tally{keyspace: ks, clients: clients, logDropped: o.LogDropped},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.registry.MustRegister(o.Collectors...)
	if o.Node != "" {
		node := prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "rtdb_node_info", Help: "1; the label node is the name of this node among several.",
		}, []string{"node"})
		node.WithLabelValues(o.Node).Set(1)
		m.registry.MustRegister(node)
	}
	return m
}

// write makes a change of a key, and counts it.
func (m *metrics) write(ctx context.Context, key string, c keyspace.Change) (e keyspace.Entry, err error) {
	if !m.commit.due() {
		e, err = m.keyspace.Write(ctx, key, c)
	} else {
		start := time.Now()
		if e, err = m.keyspace.Write(ctx, key, c); err == nil {
			m.commit.Observe(time.Since(start).Seconds())
		}
	}
	m.wrote(err)
	return e, err
}

// writeAll makes changes, each on its own, and counts them.
func (m *metrics) writeAll(ctx context.Context, changes []keyspace.KeyedChange) []keyspace.Result {
	results := m.keyspace.WriteAll(ctx, changes)
	for i := range results {
		m.wrote(results[i].Err)
	}
	return results
}

func (m *metrics) wrote(err error) {
	result := "ok"
	if err != nil {
		result = explain(err).code
	}
	m.writes[result].Inc()
}

// delivered times messages that a connection has taken, if they are in the sample.
func (m *metrics) delivered(messages []session.Message) {
	if !m.socket.due() {
		return
	}
	for i := range messages {
		if age, ok := messages[i].Age(); ok {
			m.socket.Observe(age.Seconds())
			return
		}
	}
}

// serves makes the counters of a route. It must be called before answered.
func (m *metrics) serves(route string) {
	m.ok[route] = m.requests.WithLabelValues(route, "200")
	m.requests.WithLabelValues(route, "500") // so that Prometheus sees the first one as an increase
}

// answered counts an HTTP request.
func (m *metrics) answered(route string, status int) {
	if c := m.ok[route]; c != nil && status == http.StatusOK {
		c.Inc()
		return
	}
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
}

// A tally collects the counts of the keyspace, the sessions and the log. It implements
// [prometheus.Collector].
type tally struct {
	keyspace   *keyspace.Keyspace
	clients    *registry
	logDropped func() uint64 // nil: nothing counts
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	descSessions      = describe("rtdb_sessions", "Open sessions, by kind: websocket or events.", "kind")
	descLagging       = describe("rtdb_lagging_sessions", "Sessions whose client lags: more than 256 updates or 64 KiB wait, or an update is older than 1 s.")
	descLag           = describe("rtdb_lag_seconds", "Age of the oldest update that waits for a client.")
	descPending       = describe("rtdb_pending_bytes", "Bytes that wait for clients.")
	descSubscriptions = describe("rtdb_subscriptions", "Subscriptions of all sessions: keys, topics and patterns.")
	descKeys          = describe("rtdb_keys", "Keys that have a value.")
	descDeliveries    = describe("rtdb_deliveries_total", "Updates sent to clients.")
	descConflated     = describe("rtdb_conflated_total", "Updates that a newer one of their key replaced, because a client was behind.")
	descDropped       = describe("rtdb_dropped_total", "Messages of topics that were dropped, because too many waited for a client.")
	descBytes         = describe("rtdb_sent_bytes_total", "Bytes sent on WebSockets and event streams.")
	descLogDropped    = describe("rtdb_log_lines_dropped_total", "Lines of the log that were lost, because its sink did not take them.")
	descMaxSessions   = describe("rtdb_max_sessions", "Limit of open sessions; 0 is no limit.")
)

// Describe sends the descriptions of the metrics.
func (t *tally) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descSessions, descLagging, descLag, descPending, descSubscriptions, descKeys,
		descDeliveries, descConflated, descDropped, descBytes, descLogDropped, descMaxSessions,
	} {
		to <- d
	}
}

// Collect sends the metrics.
func (t *tally) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	counter := func(d *prometheus.Desc, value uint64) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value))
	}
	var open [clientKinds]int
	var sum total // of the sessions that are open
	lagging, subscriptions, pending := 0, 0, int64(0)
	var oldest time.Duration
	past := t.clients.each(func(c *client) {
		status := c.session.Inspect()
		sum.add(status.Stats, c.link.sent())
		open[c.kind]++
		subscriptions += status.Subscriptions
		pending += status.PendingBytes
		oldest = max(oldest, status.Oldest)
		if status.Lagging {
			lagging++
		}
	})
	sum.add(past.Stats, past.bytes)
	gauge(descSessions, float64(open[webSocketClient]), "websocket")
	gauge(descSessions, float64(open[eventClient]), "events")
	gauge(descLagging, float64(lagging))
	gauge(descLag, oldest.Seconds())
	gauge(descPending, float64(pending))
	gauge(descSubscriptions, float64(subscriptions))
	gauge(descKeys, float64(t.keyspace.Keys()))
	gauge(descMaxSessions, float64(t.clients.limit))
	counter(descDeliveries, sum.Delivered)
	counter(descConflated, sum.Conflated)
	counter(descDropped, sum.Missed)
	counter(descBytes, sum.bytes)
	if t.logDropped == nil {
		counter(descLogDropped, 0)
	} else {
		counter(descLogDropped, t.logDropped())
	}
}

func (m *metrics) exporter() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}
