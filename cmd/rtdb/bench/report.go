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

// A Report is what a run has found. The names of its JSON are stable.
type Report struct {
	URL           string  `json:"url"`
	Subscribers   int     `json:"subscribers"`
	Keys          int     `json:"keys"`
	Subscriptions int     `json:"subscriptions"` // of each subscriber
	Publishers    int     `json:"publishers"`
	Rate          float64 `json:"rate"` // asked for; 0 is as fast as all kept up
	SizeBytes     int     `json:"size_bytes"`
	Slow          float64 `json:"slow"`

	DurationMS  float64 `json:"duration_ms"` // of writing
	Interrupted bool    `json:"interrupted"`

	Writes          int64   `json:"writes"`
	WritesPerSecond float64 `json:"writes_per_second"`
	// WritesMissed were due by the rate, and were not sent before the end.
	WritesMissed int64 `json:"writes_missed"`

	Deliveries          int64   `json:"deliveries"`
	DeliveriesPerSecond float64 `json:"deliveries_per_second"` // until the last one came

	Latency     Latency  `json:"latency"`                // of subscribers that do not read slowly
	SlowLatency *Latency `json:"slow_latency,omitempty"` // of those that do

	Conflated int64 `json:"conflated"` // updates skipped, each followed by a newer one
	Lost      int64 `json:"lost"`      // keys of subscribers that did not come to their last state

	Wrong        int64          `json:"wrong"` // what must not be
	FirstWrong   string         `json:"first_wrong,omitempty"`
	Disconnected int            `json:"disconnected"`          // connections that ended too early
	CloseCodes   map[string]int `json:"close_codes,omitempty"` // of these; "none" where there was no close frame

	SentBytes     int64 `json:"sent_bytes"`     // by the publishers, as TCP carries it
	ReceivedBytes int64 `json:"received_bytes"` // by the subscribers

	Server     *Server `json:"server"`                // nil where it is not visible
	ServerNote string  `json:"server_note,omitempty"` // why
	LeftOver   string  `json:"left_over,omitempty"`   // prefix of keys that could not be deleted
}

// A Latency is the time from when a write was due, or without a rate was sent,
// to its receipt.
type Latency struct {
	P50  float64 `json:"p50_ms"`
	P99  float64 `json:"p99_ms"`
	P999 float64 `json:"p999_ms"`
	Max  float64 `json:"max_ms"`
}

// A Server is what its process took.
type Server struct {
	Name                string  `json:"name"`
	PID                 int     `json:"pid"`
	CPUSeconds          float64 `json:"cpu_s"`
	CPUCores            float64 `json:"cpu_cores"`           // on average
	CPUPerDelivery      float64 `json:"cpu_per_delivery_us"` // all that it did, by deliveries
	MemoryBeforeBytes   int64   `json:"memory_before_bytes"` // resident
	MemoryIdleBytes     int64   `json:"memory_idle_bytes"`   // with all connections open
	MemoryEndBytes      int64   `json:"memory_end_bytes"`
	MemoryPerConnection int64   `json:"memory_per_connection_bytes"` // 0 where it did not grow
}

func newReport(o Options, interrupted bool) Report {
	return Report{
		URL: o.URL, Subscribers: o.Subscribers, Keys: o.Keys, Subscriptions: o.Subscriptions,
		Publishers: o.Publishers, Rate: o.Rate, SizeBytes: o.Size, Slow: o.Slow, Interrupted: interrupted,
	}
}

// measured adds what was counted since writing began. It took so long, and
// should have taken no longer than asked; the rest of it was spent in the last
// writes.
func (r *Report) measured(began int64, took, asked time.Duration, counts *recorder) {
	total := counts.total()
	total.last -= began
	r.DurationMS = float64(took.Microseconds()) / 1000
	r.WritesPerSecond = float64(r.Writes) / took.Seconds()
	due := int64(math.Floor(r.Rate * min(took, asked).Seconds()))
	r.WritesMissed = max(due-r.Writes, 0)
	r.Deliveries, r.Conflated = total.deliveries, total.conflated
	r.DeliveriesPerSecond = float64(total.deliveries) / max(took, time.Duration(total.last)).Seconds()
	r.Latency = latencyOf(counts.merged())
	if r.Slow > 0 {
		slow := latencyOf(counts.slow.latencies)
		r.SlowLatency = &slow
	}
}

func latencyOf(h *hdrhistogram.Histogram) Latency {
	ms := func(micros int64) float64 { return float64(micros) / 1000 }
	return Latency{
		P50: ms(h.ValueAtQuantile(50)), P99: ms(h.ValueAtQuantile(99)),
		P999: ms(h.ValueAtQuantile(99.9)), Max: ms(h.Max()),
	}
}

func (r *Report) note(wrong int64, first string) {
	if r.Wrong == 0 && wrong > 0 {
		r.FirstWrong = first
	}
	r.Wrong += wrong
}

func (r *Report) disconnected(err error) {
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

// Err says what the server did that it must not do, or is nil.
func (r *Report) Err() error {
	var wrong []string
	if r.Lost > 0 {
		wrong = append(wrong, fmt.Sprintf("%d keys of subscribers did not come to their last state", r.Lost))
	}
	if r.Disconnected > 0 {
		wrong = append(wrong, fmt.Sprintf("%d connections ended before they should (%s)", r.Disconnected, r.codes()))
	}
	if r.Wrong > 0 {
		wrong = append(wrong, fmt.Sprintf("%d times what must not be: %s", r.Wrong, r.FirstWrong))
	}
	if wrong == nil {
		return nil
	}
	return errors.New(strings.Join(wrong, "; "))
}

// WriteTo prints the report as a table.
func (r *Report) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, r.table())
	return int64(n), err
}
