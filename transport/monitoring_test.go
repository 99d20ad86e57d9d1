package transport_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"rtdb/transport"
)

// private is in every name and value that the test uses. None of them may be in the
// metrics.
const private = "private-7f3a"

// storeCollectors stand for those of a server with --data-dir. The dashboard and the alerts
// use these metrics, which the program exports and this package does not.
func storeCollectors() []prometheus.Collector {
	var all []prometheus.Collector
	for name, value := range map[string]float64{
		"rtdb_store_disk_used_bytes":    1 << 20,
		"rtdb_store_disk_free_bytes":    50 << 30,
		"rtdb_store_disk_reserve_bytes": 256 << 20,
		"rtdb_store_segments":           1,
		"rtdb_store_refusing":           0,
	} {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: "Stands for the program's."})
		g.Set(value)
		all = append(all, g)
	}
	for _, name := range []string{"rtdb_store_written_bytes_total", "rtdb_store_snapshots_total", "rtdb_store_snapshot_failures_total"} {
		all = append(all, prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: "Stands for the program's."}))
	}
	for name, buckets := range map[string][]float64{
		"rtdb_store_wait_seconds":     prometheus.ExponentialBuckets(25e-6, 2, 20),
		"rtdb_store_sync_seconds":     prometheus.ExponentialBuckets(25e-6, 2, 20),
		"rtdb_store_group_writes":     prometheus.ExponentialBuckets(1, 2, 13),
		"rtdb_store_snapshot_seconds": prometheus.ExponentialBuckets(0.01, 2, 16),
	} {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Buckets: buckets, Help: "Stands for the program's."})
		h.Observe(1)
		all = append(all, h)
	}
	return all
}

// clusterCollectors stand for those of a node, with --nats-url.
func clusterCollectors() []prometheus.Collector {
	var all []prometheus.Collector
	for name, value := range map[string]float64{
		"rtdb_cluster_connected":           1,
		"rtdb_cluster_ready":               1,
		"rtdb_cluster_peers":               2,
		"rtdb_cluster_feed_sequence":       1e6,
		"rtdb_cluster_feed_lag_messages":   0,
		"rtdb_cluster_feed_lag_seconds":    0,
		"rtdb_cluster_proposals_in_flight": 0,
	} {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: "Stands for the program's."})
		g.Set(value)
		all = append(all, g)
	}
	for _, name := range []string{
		"rtdb_cluster_conflicts_total", "rtdb_cluster_unknown_outcomes_total", "rtdb_cluster_reconnects_total",
		"rtdb_cluster_filled_messages_total", "rtdb_cluster_foreign_messages_total",
	} {
		all = append(all, prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: "Stands for the program's."}))
	}
	return all
}

// scrape returns the metrics of a server on which every metric was counted, and the ids
// of its sessions.
func scrape(t *testing.T) (text string, sessions []string) {
	t.Helper()
	w := newWire(t, transport.Options{MaxSessions: 4, Collectors: append(storeCollectors(), clusterCollectors()...)})
	w.want(t, "PUT", "/data/"+private, `{"value":"`+private+`"}`, 200, "")
	w.want(t, "GET", "/data/"+private+"-missing", "", 404, "")
	w.want(t, "POST", "/topics/"+private, `{"value":"`+private+`"}`, 202, "")
	w.want(t, "GET", "/"+private, "", 404, "")
	w.want(t, "GET", "/data?"+private+"=1", "", 400, "")
	w.want(t, strings.ToUpper(private), "/data/"+private, "", 405, "")
	w.want(t, "DELETE", "/sessions/"+private, "", 404, "")
	w.want(t, "HEAD", "/healthz", "", 200, "")

	events, err := http.Get("http://" + w.addr + "/events?key=" + private)
	if err != nil {
		t.Fatal(err)
	}
	defer events.Body.Close()
	stream := bufio.NewReader(events.Body)
	for line := ""; !strings.HasPrefix(line, "id: "); { // from here on the stream is subscribed
		if line, err = stream.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	w.settle()
	open := w.dial(t)
	open.ask(`{"action":"subscribe","pattern":"#","snapshot":false,"id":"`+private+`"}`, `{"id":"`+private+`","ok":true,"revision":1,"epoch":"e"}`)
	for range 150 { // one in eight is timed, at random
		open.ask(`{"action":"delete","key":"`+private+`-none","id":1}`,
			`{"id":1,"error":{"code":"not_found","message":"there is no such key"}}`)
	}
	leaving := w.dial(t)
	leaving.ask(`{"action":"`+private+`","id":1}`, `{"id":1,"error":{"code":"invalid_request","message":"unknown action \"`+private+`\""}}`)
	// The reason that a client closes with must not become a label.
	if err := leaving.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(4321, private)); err != nil {
		t.Fatal(err)
	}
	leaving.wantClose(4321)
	for range 150 {
		w.want(t, "PUT", "/data/"+private, `{"value":1}`, 200, "")
		open.want(`{"key":"` + private + `","value":1}`)
	}
	for line := ""; !strings.Contains(line, private); {
		if line, err = stream.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	w.log.await(t, "session closed", 1)
	for _, e := range w.log.await(t, "session opened", 3) {
		sessions = append(sessions, e["session"].(string))
	}
	_, text = w.call(t, "GET", "/metrics", "")
	return text, sessions
}

// A sample is a line of the metrics. Each label is a match of labelPair: its name is at
// index 1, its value at 2.
type sample struct {
	name   string
	labels [][]string
}

var (
	sampleLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? \S+$`)
	labelPair  = regexp.MustCompile(`([a-zA-Z_]+)="((?:[^"\\]|\\.)*)"`)
)

func samplesOf(t *testing.T, text string) (samples []sample) {
	t.Helper()
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") {
			continue
		}
		m := sampleLine.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("not a sample: %q", line)
			continue
		}
		samples = append(samples, sample{m[1], labelPair.FindAllStringSubmatch(m[2], -1)})
	}
	return samples
}

// ourLabels are all labels of this server's metrics.
var ourLabels = []string{"kind", "result", "route", "code", "reason", "le"}

func TestMonitoring(t *testing.T) {
	text, sessions := scrape(t)
	samples := samplesOf(t, text)
	known := map[string]bool{}
	for _, s := range samples {
		known[s.name] = true
	}

	t.Run("the metrics are as Prometheus wants them", func(t *testing.T) {
		problems, err := promlint.New(strings.NewReader(text)).Lint()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			if strings.HasPrefix(p.Metric, "rtdb_") {
				t.Errorf("%s: %s", p.Metric, p.Text)
			}
		}
	})

	t.Run("no label is a client's", func(t *testing.T) {
		if strings.Contains(strings.ToLower(text), private) {
			t.Error("what a client sent is in the metrics")
		}
		for _, id := range sessions {
			if strings.Contains(text, id) {
				t.Errorf("the session %s is in the metrics", id)
			}
		}
		status := regexp.MustCompile(`^[1-5]\d\d$`)
		seen := map[string]bool{}
		for _, s := range samples {
			if !strings.HasPrefix(s.name, "rtdb_") {
				continue
			}
			for _, l := range s.labels {
				seen[l[1]] = true
				switch {
				case !slices.Contains(ourLabels, l[1]):
					t.Errorf("%s has the label %s", s.name, l[1])
				case l[1] == "code" && !status.MatchString(l[2]):
					t.Errorf("%s has the code %q", s.name, l[2])
				}
			}
		}
		if len(seen) != len(ourLabels) {
			t.Errorf("only the labels %v were seen, want %v: is the server used enough?", seen, ourLabels)
		}
	})

	t.Run("the dashboard", func(t *testing.T) {
		var dashboard struct{ Panels []panel }
		data := readMonitoring(t, "dashboard.json")
		if err := json.Unmarshal([]byte(data), &dashboard); err != nil || len(dashboard.Panels) < 15 {
			t.Fatalf("%d panels, %v", len(dashboard.Panels), err)
		}
		for _, p := range dashboard.Panels {
			p.check(t)
		}
		onlyKnown(t, data, known)
	})

	t.Run("the alerts", func(t *testing.T) {
		data := readMonitoring(t, "alerts.yaml")
		onlyKnown(t, data, known)
		rules := strings.Split(data, "- alert:")[1:]
		if len(rules) < 12 {
			t.Errorf("%d alerts", len(rules))
		}
		for _, rule := range rules {
			for _, field := range []string{"expr: ", "for: ", "severity: ", "summary: ", "description: "} {
				if strings.Count(rule, " "+field) != 1 {
					t.Errorf("the alert%.20s has not one %s", rule, field)
				}
			}
		}
	})

	t.Run("the tests of the alerts", func(t *testing.T) {
		real := make(map[string]bool)
		for _, s := range samples {
			real[s.series()] = true
		}
		tested := regexp.MustCompile(`series: '(\w+)\{job="rtdb",instance="[a-z-]+:9090",?(.*)\}'`)
		found := tested.FindAllStringSubmatch(readMonitoring(t, "alerts_test.yaml"), -1)
		if len(found) < 50 {
			t.Errorf("only %d series", len(found))
		}
		for _, m := range found {
			s := sample{m[1], labelPair.FindAllStringSubmatch(m[2], -1)}.series()
			if !real[s] && !strings.HasPrefix(s, "up{") { // Prometheus makes up
				t.Errorf("a server does not have the series %s", s)
			}
		}
	})
}

// series returns the name of a sample with its labels, which it sorts.
func (s sample) series() string {
	var labels []string
	for _, l := range s.labels {
		labels = append(labels, l[0])
	}
	slices.Sort(labels)
	return s.name + "{" + strings.Join(labels, ",") + "}"
}

// promtool runs Prometheus's tool in the folder monitoring.
func promtool(t *testing.T, arguments ...string) {
	t.Helper()
	if _, err := exec.LookPath("promtool"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("promtool is missing")
		}
		t.Skip("promtool is missing")
	}
	command := exec.Command("promtool", arguments...)
	command.Dir = "monitoring"
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("promtool %v: %v\n%s", arguments, err, out)
	}
}

// Each alert fires when it should, and not otherwise.
func TestAlerts(t *testing.T) {
	promtool(t, "check", "rules", "alerts.yaml")
	promtool(t, "test", "rules", "alerts_test.yaml")
}

// No alert fires for a server that has just been started, whatever metrics it has.
func TestNoAlertFiresForANewServer(t *testing.T) {
	for name, collectors := range map[string][]prometheus.Collector{"in memory": nil, "with a store": storeCollectors(), "of several": clusterCollectors()} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t, transport.Options{MaxSessions: 1000, Collectors: collectors})
			_, text := w.call(t, "GET", "/metrics", "")
			if strings.Contains(text, "\nrtdb_store_") != (name == "with a store") || strings.Contains(text, "\nrtdb_cluster_") != (name == "of several") {
				t.Errorf("the metrics are those of another server:\n%s", text)
			}
			noAlertFires(t, text)
		})
	}
}

// noAlertFires expects that no alert fires for a new server with these metrics.
func noAlertFires(t *testing.T, text string) {
	t.Helper()
	rules, err := filepath.Abs("monitoring/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var test strings.Builder
	fmt.Fprintf(&test, "rule_files: [%q]\nevaluation_interval: 15s\ntests:\n- interval: 15s\n  input_series:\n", rules)
	add := func(s sample, value string) {
		s.labels = append(s.labels, []string{`job="rtdb"`}, []string{`instance="new:9090"`})
		fmt.Fprintf(&test, "  - {series: '%s', values: '_x40 %sx80'}\n", s.series(), value) // it comes after 10 minutes
	}
	add(sample{name: "up"}, "1")
	for _, line := range slices.Collect(strings.Lines(text)) {
		for _, s := range samplesOf(t, line) {
			value := strings.TrimSpace(line[strings.LastIndexByte(line, ' '):])
			if s.name == "process_start_time_seconds" {
				value = "585" // in the time of the test
			}
			add(s, value)
		}
	}
	test.WriteString("  promql_expr_test:\n")
	for _, at := range []string{"10m15s", "12m", "15m", "20m", "30m"} {
		fmt.Fprintf(&test, "  - {expr: 'ALERTS{instance=\"new:9090\"}', eval_time: %s, exp_samples: []}\n", at)
	}
	file := filepath.Join(t.TempDir(), "new_test.yaml")
	if err := os.WriteFile(file, []byte(test.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "test", "rules", file)
}

// The expressions of the dashboard are valid, once Grafana has filled in its variables.
func TestExpressionsOfTheDashboard(t *testing.T) {
	var dashboard struct{ Panels []panel }
	if err := json.Unmarshal([]byte(readMonitoring(t, "dashboard.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	variables := strings.NewReplacer("$__rate_interval", "1m", "$__range", "1h", "$job", "rtdb", "$instance", ".+")
	rules := "groups:\n- name: dashboard\n  rules:\n"
	for _, p := range dashboard.Panels {
		for i, target := range p.Targets {
			expression, err := json.Marshal(variables.Replace(target.Expr))
			if err != nil {
				t.Fatal(err)
			}
			rules += fmt.Sprintf("  - {record: 'panel:%d_%d', expr: %s}\n", p.ID, i, expression)
		}
	}
	file := filepath.Join(t.TempDir(), "dashboard.yaml")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", file)
}

// A panel is a part of a dashboard, or the title of a row of panels.
type panel struct {
	ID                       int
	Type, Title, Description string
	FieldConfig              struct{ Defaults struct{ Unit string } }
	Datasource               struct{ Type, UID string }
	Targets                  []struct{ Expr string }
}

// check expects that a panel is complete and shows a metric.
func (p *panel) check(t *testing.T) {
	t.Helper()
	if p.Type == "row" {
		return
	}
	if p.Title == "" || p.Description == "" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 {
		t.Errorf("the panel %q wants a title, a description, a unit or an expression", p.Title)
	}
	if p.Datasource.Type != "prometheus" || p.Datasource.UID != "${datasource}" {
		t.Errorf("the panel %q has the data source %v", p.Title, p.Datasource)
	}
	for _, target := range p.Targets {
		if !metricName.MatchString(target.Expr) {
			t.Errorf("the panel %q has no metric in %q", p.Title, target.Expr)
		}
	}
}

func readMonitoring(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile("monitoring/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

var metricName = regexp.MustCompile(`\b(?:rtdb|go|process)_\w+`)

// onlyKnown expects that a server has every metric that a text names.
func onlyKnown(t *testing.T, text string, known map[string]bool) {
	t.Helper()
	names := metricName.FindAllString(text, -1)
	if len(names) < 10 {
		t.Errorf("only %d metrics are named", len(names))
	}
	for _, name := range names {
		if strings.HasPrefix(name, "process_") && runtime.GOOS != "linux" {
			continue // other systems have fewer
		}
		if !known[name] {
			t.Errorf("there is no metric %s", name)
		}
	}
}
