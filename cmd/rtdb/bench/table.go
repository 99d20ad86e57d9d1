package bench

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// table is the report for people.
func (r *Report) table() string {
	var t strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&t, "%-14s%s\n", name, strings.TrimRight(fmt.Sprintf(format, args...), " "))
	}
	line("load", "%s", r.load())
	line("writes", "%-14s %s/s", grouped(r.Writes), grouped(round(r.WritesPerSecond)))
	line("deliveries", "%-14s %s/s", grouped(r.Deliveries), grouped(round(r.DeliveriesPerSecond)))
	line("latency", "%v", r.Latency)
	if r.SlowLatency != nil {
		line("slow clients", "%v", *r.SlowLatency)
	}
	line("conflated", "%s", grouped(r.Conflated))
	line("lost", "%s", grouped(r.Lost))
	if r.Wrong > 0 {
		line("wrong", "%s", grouped(r.Wrong))
	}
	if r.Disconnected > 0 {
		line("disconnected", "%-14s %s", grouped(int64(r.Disconnected)), r.codes())
	}
	line("bytes", "%s sent, %s received", size(r.SentBytes), size(r.ReceivedBytes))
	if s := r.Server; s != nil {
		line("server CPU", "%.2f µs for a delivery, %.2f cores  (%s, pid %d)", s.CPUPerDelivery, s.CPUCores, s.Name, s.PID)
		connection := size(s.MemoryPerConnection) + " for a connection"
		if s.MemoryPerConnection == 0 {
			connection = "no more with the connections than before"
		}
		line("server memory", "%s, %s at the end", connection, size(s.MemoryEndBytes))
	} else {
		line("server", "not visible from here: %s", r.ServerNote)
	}
	if r.Interrupted {
		line("note", "interrupted after %.1f s", r.DurationMS/1000)
	}
	if r.WritesMissed > 0 {
		line("note", "%s writes were due and not sent: server and bench together did not keep up with the rate", grouped(r.WritesMissed))
	}
	if r.LeftOver != "" {
		line("note", "keys that begin with %s could not be deleted", r.LeftOver)
	}
	return t.String()
}

func (r *Report) load() string {
	rate := "as many writes/s as all keep up with"
	if r.Rate > 0 {
		rate = strconv.FormatFloat(r.Rate, 'f', -1, 64) + " writes/s"
	}
	return fmt.Sprintf("%d subscribers of %d of %d keys, %d publishers, %s of %d bytes, %.1f s",
		r.Subscribers, r.Subscriptions, r.Keys, r.Publishers, rate, r.SizeBytes, r.DurationMS/1000)
}

// codes lists the close codes.
func (r *Report) codes() string {
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
	return fmt.Sprintf("p50 %s  p99 %s  p99.9 %s  max %s ms", short(l.P50), short(l.P99), short(l.P999), short(l.Max))
}

// short prints milliseconds with as many digits as say something.
func short(ms float64) string {
	switch {
	case ms < 10:
		return strconv.FormatFloat(ms, 'f', 2, 64)
	case ms < 100:
		return strconv.FormatFloat(ms, 'f', 1, 64)
	}
	return strconv.FormatFloat(ms, 'f', 0, 64)
}

func round(f float64) int64 { return int64(f + 0.5) }

// grouped prints a number with commas between thousands.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// size prints bytes in binary units.
func size(bytes int64) string {
	f, units := float64(bytes), []string{"B", "KiB", "MiB", "GiB", "TiB"}
	for f >= 1024 && len(units) > 1 {
		f, units = f/1024, units[1:]
	}
	if units[0] == "B" {
		return fmt.Sprintf("%d B", bytes)
	}
	return fmt.Sprintf("%.1f %s", f, units[0])
}
