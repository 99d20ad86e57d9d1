package transport

import (
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"rtdb/session"
)

// sampling is of how many writes, and of how many sends to a socket, one is
// timed: a look at the clock costs more than to count.
const sampling = 8

// metrics are what Prometheus is told. What sessions count themselves is added up
// when it asks, and costs nothing between.
type metrics struct {
	registry *prometheus.Registry
	writes   map[string]prometheus.Counter // by the code of the error; "ok"
	requests *prometheus.CounterVec        // by route and status
	ends     *prometheus.CounterVec        // of sessions, by reason
	received prometheus.Counter
	commit   sampled
	socket   sampled
}

// A sampled is a histogram of some of what happens.
type sampled struct {
	prometheus.Histogram
	count atomic.Uint32
}

// due reports whether this one is to be timed.
func (s *sampled) due() bool { return s.count.Add(1)%sampling == 0 }

func newMetrics(s *Server) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		writes:   make(map[string]prometheus.Counter),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rtdb_http_requests_total", Help: "HTTP requests answered, the handshakes of WebSockets included.",
		}, []string{"route", "code"}),
		ends: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rtdb_session_ends_total", Help: "Sessions that have ended, by why.",
		}, []string{"reason"}),
		received: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "rtdb_received_messages_total", Help: "Messages of clients on WebSockets.",
		}),
	}
	times := prometheus.ExponentialBuckets(25e-6, 2, 20) // 25 µs to 13 s
	m.commit.Histogram = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "rtdb_write_commit_seconds", Buckets: times,
		Help: "From when a write was understood to when it took effect; one in eight is timed.",
	})
	m.socket.Histogram = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "rtdb_write_socket_seconds", Buckets: times,
		Help: "From when a write took effect to when its update was handed to the system for a WebSocket; one send in eight is timed, by its oldest update.",
	})
	writes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "rtdb_writes_total", Help: "Writes of keys that clients asked for, deletes and patches included, by what came of them.",
	}, []string{"result"})
	for code := range statuses {
		m.writes[code] = writes.WithLabelValues(code)
	}
	m.writes["ok"] = writes.WithLabelValues("ok")
	m.ends.WithLabelValues("internal error") // so that the first one is seen to rise
	m.registry.MustRegister(m.requests, m.ends, m.received, writes, m.commit.Histogram, m.socket.Histogram, &tally{server: s},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// wrote counts a write.
func (m *metrics) wrote(err error) {
	result := "ok"
	if err != nil {
		result = explain(err).code
	}
	m.writes[result].Inc()
}

// sent times what a session has handed over, if it is its turn.
func (m *metrics) sent(messages []session.Message) {
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

func (m *metrics) answered(route string, status int) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
}

// A tally is a collector of what is counted elsewhere.
type tally struct {
	server *Server
}

// A total is the sums of all sessions, those that have ended included.
type total struct {
	session.Stats
	bytes uint64
}

func (t *total) add(stats session.Stats, bytes uint64) {
	t.Delivered += stats.Delivered
	t.Conflated += stats.Conflated
	t.Missed += stats.Missed
	t.bytes += bytes
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	descSessions      = describe("rtdb_sessions", "Sessions that are open, by kind: WebSockets and streams of events.", "kind")
	descLagging       = describe("rtdb_lagging_sessions", "Sessions whose client has fallen behind.")
	descLag           = describe("rtdb_lag_seconds", "How long the oldest update has waited that waits for a client.")
	descPending       = describe("rtdb_pending_bytes", "Bytes that wait for clients.")
	descSubscriptions = describe("rtdb_subscriptions", "Names that sessions are subscribed to: keys, topics and patterns.")
	descKeys          = describe("rtdb_keys", "Keys that have a value.")
	descDeliveries    = describe("rtdb_deliveries_total", "Updates sent to clients.")
	descConflated     = describe("rtdb_conflated_total", "Updates that gave way to a newer one of their key, for a client was behind.")
	descDropped       = describe("rtdb_dropped_total", "Messages of topics that were dropped, for too many waited for a client.")
	descBytes         = describe("rtdb_sent_bytes_total", "Bytes sent on WebSockets and streams of events.")
	descMaxSessions   = describe("rtdb_max_sessions", "Sessions that may be open; 0 is no limit.")
)

// Describe is prometheus's.
func (t *tally) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descSessions, descLagging, descLag, descPending, descSubscriptions, descKeys,
		descDeliveries, descConflated, descDropped, descBytes, descMaxSessions,
	} {
		to <- d
	}
}

// Collect is prometheus's.
func (t *tally) Collect(to chan<- prometheus.Metric) {
	s := t.server
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	counter := func(d *prometheus.Desc, value uint64) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value))
	}
	open := map[string]int{socketRoute: 0, eventsRoute: 0}
	lagging, subscriptions, pending := 0, 0, int64(0)
	var oldest time.Duration
	s.mu.Lock()
	sum := s.ended
	for v := range s.guests {
		g, bytes := v.seen()
		now := g.session.Now()
		sum.add(now.Stats, bytes)
		open[g.route]++
		subscriptions += now.Subscriptions
		pending += now.PendingBytes
		oldest = max(oldest, now.Behind)
		if now.Lagging {
			lagging++
		}
	}
	s.mu.Unlock()
	gauge(descSessions, float64(open[socketRoute]), "websocket")
	gauge(descSessions, float64(open[eventsRoute]), "events")
	gauge(descLagging, float64(lagging))
	gauge(descLag, oldest.Seconds())
	gauge(descPending, float64(pending))
	gauge(descSubscriptions, float64(subscriptions))
	gauge(descKeys, float64(s.keyspace.Keys()))
	gauge(descMaxSessions, float64(s.options.MaxSessions))
	counter(descDeliveries, sum.Delivered)
	counter(descConflated, sum.Conflated)
	counter(descDropped, sum.Missed)
	counter(descBytes, sum.bytes)
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}
