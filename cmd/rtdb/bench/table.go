package bench

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// table returns the report as lines of a label and a text.
func (r *Report) table() string {
	var t strings.Builder
	line := func(label, format string, args ...any) {
		fmt.Fprintf(&t, "%-14s%s\n", label, strings.TrimRight(fmt.Sprintf(format, args...), " "))
	}
	line("load", "%s", r.load())
	line("writes", "%-14s %s/s", withCommas(r.Writes), withCommas(round(r.WritesPerSecond)))
	line("deliveries", "%-14s %s/s", withCommas(r.Deliveries), withCommas(round(r.DeliveriesPerSecond)))
	line("latency", "%v", r.Latency)
	if r.SlowLatency != nil {
		line("slow clients", "%v", *r.SlowLatency)
	}
	line("conflated", "%s", withCommas(r.Conflated))
	line("lost", "%s", withCommas(r.Lost))
	if r.Wrong > 0 {
		line("wrong", "%s", withCommas(r.Wrong))
	}
	if r.Disconnected > 0 {
		line("disconnected", "%-14s %s", withCommas(int64(r.Disconnected)), r.closeCodes())
	}
	line("bytes", "%s sent, %s received", formatBytes(r.SentBytes), formatBytes(r.ReceivedBytes))
	if s := r.Server; s != nil {
		line("server CPU", "%.2f µs for a delivery, %.2f cores  (%s, pid %d)", s.CPUPerDelivery, s.CPUCores, s.Name, s.PID)
		connection := formatBytes(s.MemoryPerConnection) + " for a connection"
		if s.MemoryPerConnection == 0 {
			connection = "no growth while connecting"
		}
		line("server memory", "%s, %s at the end", connection, formatBytes(s.MemoryEndBytes))
	} else {
		line("server", "not measured: %s", r.ServerNote)
	}
	if r.Interrupted {
		line("note", "interrupted after %.1f s", r.DurationMS/1000)
	}
	if r.WritesMissed > 0 {
		line("note", "%s writes were due but not sent: the server or bench is too slow for this rate; lower --rate or run bench on another machine", withCommas(r.WritesMissed))
	}
	if r.LeftOver != "" {
		line("note", "some keys could not be deleted; delete the keys that begin with %s", r.LeftOver)
	}
	return t.String()
}

// load describes the load that the options asked for.
func (r *Report) load() string {
	rate := "writes as fast as all subscribers can read,"
	if r.Rate > 0 {
		rate = strconv.FormatFloat(r.Rate, 'f', -1, 64) + " writes/s"
	}
	return fmt.Sprintf("%d subscribers of %d of %d keys, %d publishers, %s of %d bytes, %.1f s",
		r.Subscribers, r.Subscriptions, r.Keys, r.Publishers, rate, r.SizeBytes, r.DurationMS/1000)
}

// closeCodes lists the close codes, each with its number of connections.
func (r *Report) closeCodes() string {
	var list []string
	for _, code := range slices.Sorted(maps.Keys(r.CloseCodes)) {
		text := "close code " + code
		if code == "none" {
			text = "no close frame"
		}
		list = append(list, fmt.Sprintf("%d with %s", r.CloseCodes[code], text))
	}
	return strings.Join(list, ", ")
}

func (l Latency) String() string {
	return fmt.Sprintf("p50 %s  p99 %s  p99.9 %s  max %s ms", formatMS(l.P50), formatMS(l.P99), formatMS(l.P999), formatMS(l.Max))
}

// formatMS formats milliseconds with about three significant digits.
func formatMS(ms float64) string {
	switch {
	case ms < 10:
		return strconv.FormatFloat(ms, 'f', 2, 64)
	case ms < 100:
		return strconv.FormatFloat(ms, 'f', 1, 64)
	}
	return strconv.FormatFloat(ms, 'f', 0, 64)
}

// round rounds a number that is not negative.
func round(f float64) int64 { return int64(f + 0.5) }

// withCommas formats a number with commas between thousands.
func withCommas(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// formatBytes formats a number of bytes in binary units.
func formatBytes(bytes int64) string {
	f, units := float64(bytes), []string{"B", "KiB", "MiB", "GiB", "TiB"}
	for f >= 1024 && len(units) > 1 {
		f, units = f/1024, units[1:]
	}
	if units[0] == "B" {
		return fmt.Sprintf("%d B", bytes)
	}
	return fmt.Sprintf("%.1f %s", f, units[0])
}
