package bench

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/coder/websocket"
)

// A Report is the result of a run. Programs may rely on the names of its JSON fields.
type Report struct {
	URL           string  `json:"url"`
	Subscribers   int     `json:"subscribers"`
	Keys          int     `json:"keys"`
	Subscriptions int     `json:"subscriptions"` // keys of each subscriber
	Publishers    int     `json:"publishers"`
	Rate          float64 `json:"rate"` // writes per second that were asked for; 0 is as fast as the subscribers read
	SizeBytes     int     `json:"size_bytes"`
	Slow          float64 `json:"slow"` // share of the subscribers

	DurationMS  float64 `json:"duration_ms"` // how long the publishers wrote
	Interrupted bool    `json:"interrupted"` // the context of Run ended early

	Writes          int64   `json:"writes"`
	WritesPerSecond float64 `json:"writes_per_second"`
	WritesMissed    int64   `json:"writes_missed"` // writes that were due but not sent before the end

	Deliveries          int64   `json:"deliveries"`            // updates that the subscribers received
	DeliveriesPerSecond float64 `json:"deliveries_per_second"` // from the first write to the last delivery

	Latency     Latency  `json:"latency"`                // of subscribers that do not read slowly
	SlowLatency *Latency `json:"slow_latency,omitempty"` // of those that do; nil if there are none

	// Conflated counts the updates that a subscriber did not receive, if it received a
	// newer update of the same key.
	Conflated int64 `json:"conflated"`

	// Lost counts the subscriptions to one key whose last update did not arrive. It
	// includes all subscriptions of a subscriber that was disconnected.
	Lost int64 `json:"lost"`

	Wrong      int64  `json:"wrong"`                 // violations of the server's contract
	FirstWrong string `json:"first_wrong,omitempty"` // description of the first violation

	Disconnected int            `json:"disconnected"`          // connections that ended too early
	CloseCodes   map[string]int `json:"close_codes,omitempty"` // of these connections; "none" without a close frame

	SentBytes     int64 `json:"sent_bytes"`     // by the publishers, without the headers of TCP and IP
	ReceivedBytes int64 `json:"received_bytes"` // by the subscribers, likewise

	Server     *Server `json:"server"`                // nil if the process could not be measured
	ServerNote string  `json:"server_note,omitempty"` // the reason, if Server is nil
	LeftOver   string  `json:"left_over,omitempty"`   // prefix of keys that could not be deleted
}

// A Latency is the distribution of the times, in milliseconds, from a write to the
// receipt of its update. With a rate, a time counts from when the write was due; without
// a rate, from when it was sent.
type Latency struct {
	P50  float64 `json:"p50_ms"`
	P99  float64 `json:"p99_ms"`
	P999 float64 `json:"p999_ms"`
	Max  float64 `json:"max_ms"`
}

// A Server is the processor time and the memory that the server's process used.
type Server struct {
	Name                string  `json:"name"`
	PID                 int     `json:"pid"`
	CPUSeconds          float64 `json:"cpu_s"`                       // user and system time from the first write to the end
	CPUCores            float64 `json:"cpu_cores"`                   // CPUSeconds divided by that time
	CPUPerDelivery      float64 `json:"cpu_per_delivery_us"`         // CPUSeconds divided by the deliveries, in microseconds
	MemoryBeforeBytes   int64   `json:"memory_before_bytes"`         // resident memory before the run connected
	MemoryIdleBytes     int64   `json:"memory_idle_bytes"`           // with all connections open and nothing written
	MemoryEndBytes      int64   `json:"memory_end_bytes"`            // after the last update
	MemoryPerConnection int64   `json:"memory_per_connection_bytes"` // growth while connecting; 0 if there was none
}

func newReport(o Options, interrupted bool) Report {
	return Report{
		URL: o.URL, Subscribers: o.Subscribers, Keys: o.Keys, Subscriptions: o.Subscriptions,
		Publishers: o.Publishers, Rate: o.Rate, SizeBytes: o.Size, Slow: o.Slow, Interrupted: interrupted,
	}
}

// addMeasurements adds the deliveries, latencies and rates of the run. Report.Writes
// must be set.
func (r *Report) addMeasurements(run *run) {
	elapsed := run.writeDuration
	totals := run.recorder.totals()
	r.DurationMS = float64(elapsed.Microseconds()) / 1000
	r.WritesPerSecond = float64(r.Writes) / elapsed.Seconds()
	// elapsed may exceed the duration by the time of the last writes. Nothing was due
	// in that time.
	due := int64(math.Floor(r.Rate * min(elapsed, run.options.Duration).Seconds()))
	r.WritesMissed = max(due-r.Writes, 0)
	r.Deliveries, r.Conflated = totals.deliveries, totals.conflated
	untilLast := time.Duration(totals.lastArrival - run.writeStart)
	r.DeliveriesPerSecond = float64(r.Deliveries) / max(elapsed, untilLast).Seconds()
	r.Latency = newLatency(run.recorder.latencies())
	if r.Slow > 0 {
		slow := newLatency(run.recorder.slow.histogram)
		r.SlowLatency = &slow
	}
}

// newLatency returns the latencies of a histogram of microseconds.
func newLatency(h *hdrhistogram.Histogram) Latency {
	ms := func(micros int64) float64 { return float64(micros) / 1000 }
	return Latency{
		P50: ms(h.ValueAtQuantile(50)), P99: ms(h.ValueAtQuantile(99)),
		P999: ms(h.ValueAtQuantile(99.9)), Max: ms(h.Max()),
	}
}

// violations count the messages of the server that broke its contract. Only the first
// one is described.
type violations struct {
	count int64
	first string
}

func (v *violations) add(format string, args ...any) {
	if v.count++; v.count == 1 {
		v.first = fmt.Sprintf(format, args...)
	}
}

func (r *Report) addViolations(v violations) {
	if r.Wrong == 0 {
		r.FirstWrong = v.first
	}
	r.Wrong += v.count
}

// addDisconnect adds a connection that ended too early, with this error of a read.
func (r *Report) addDisconnect(err error) {
	r.Disconnected++
	code := "none"
	var closed websocket.CloseError
	if errors.As(err, &closed) {
		code = fmt.Sprint(int(closed.Code))
	}
	if r.CloseCodes == nil {
		r.CloseCodes = make(map[string]int)
	}
	r.CloseCodes[code]++
}

// Err returns an error if the server lost updates, violated its contract, or ended
// connections. Otherwise it returns nil.
func (r *Report) Err() error {
	var faults []string
	if r.Lost > 0 {
		faults = append(faults, fmt.Sprintf("%d subscriptions did not receive the last update of their key", r.Lost))
	}
	if r.Disconnected > 0 {
		faults = append(faults, fmt.Sprintf("%d connections ended before they should (%s): see the server's log for the reason", r.Disconnected, r.closeCodes()))
	}
	if r.Wrong > 0 {
		faults = append(faults, fmt.Sprintf("the server violated its contract %d times; the first time, %s", r.Wrong, r.FirstWrong))
	}
	if faults == nil {
		return nil
	}
	return errors.New(strings.Join(faults, "; "))
}

// WriteTo writes the report as a table for people. It implements io.WriterTo.
func (r *Report) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, r.table())
	return int64(n), err
}
