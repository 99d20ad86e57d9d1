package demo_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"rtdb/cmd/rtdb/demo"
	"rtdb/transport"
	"rtdb/transport/client"
	"rtdb/transport/transporttest"
)

// reading is the value of a sensor.
type reading struct {
	Celsius float64
	N       int
}

func (s *site) readings() map[string]reading {
	s.t.Helper()
	all := make(map[string]reading)
	for key, value := range s.list("sensors/") {
		var r reading
		if err := json.Unmarshal(value, &r); err != nil || r.Celsius < 14 || r.Celsius > 30 {
			s.t.Errorf("%s is %s", key, value)
		}
		all[key] = r
	}
	return all
}

// All data is there when Ready is called, and each sensor goes on.
func TestRun(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ready := make(chan struct{})
	stop := s.background(func(ctx context.Context) error {
		return demo.Run(ctx, demo.Options{
			Server: s.server(), Sensors: 250, Devices: 5, Interval: 100 * time.Millisecond, Ready: func() { close(ready) },
		})
	})
	<-ready
	if n, devices := len(s.readings()), s.states("online"); n != 250 || devices != 5 {
		t.Errorf("ready with %d sensors and %d devices", n, devices)
	}
	if n := len(s.list("document/blocks/")); n < 3 {
		t.Errorf("the document has %d blocks", n)
	}
	transporttest.Eventually(t, "each sensor is written three times", func() bool {
		for _, r := range s.readings() {
			if r.N < 3 {
				return false
			}
		}
		return true
	})
	for _, key := range []string{"sensors/01/001", "sensors/01/100", "sensors/02/001", "sensors/03/050"} {
		if s.list(key)[key] == nil {
			t.Errorf("there is no %s", key)
		}
	}
	var first struct {
		ExpiresIn float64 `json:"expires_in"`
	}
	if err := json.Unmarshal(s.get("/data/chat/lobby/messages/0"), &first); err != nil || first.ExpiresIn < 3000 {
		t.Errorf("the first message expires in %v s, %v", first.ExpiresIn, err)
	}
	stop()
	before := s.readings()
	if n := s.states("offline"); n != 5 {
		t.Errorf("%d devices are offline after the end", n)
	}
	for key, r := range s.readings() {
		if r != before[key] {
			t.Errorf("%s was written after the end", key)
		}
	}
}

// The values depend on the seed alone.
func TestTheSeedDecidesTheValues(t *testing.T) {
	t.Parallel()
	values := func(seed uint64) string {
		s := newSite(t)
		c := dial(t, s.URL())
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := make(chan error, 1)
		go func() {
			ended <- demo.Run(ctx, demo.Options{Server: s.server(), Sensors: 1, Interval: 50 * time.Millisecond, Seed: seed})
		}()
		text := ""
		for change, err := range client.Watch[reading](ctx, c, "sensors/01/001") {
			if err != nil {
				t.Fatal(err)
			}
			if text += fmt.Sprint(change.Value.Celsius, " "); change.Value.N == 4 {
				break
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		return text
	}
	a, b, c := values(1), values(1), values(2)
	if a != b || a == c {
		t.Errorf("seed 1: %s and %s, seed 2: %s", a, b, c)
	}
}

// Text that was there before the start stays.
func TestTheContentIsWrittenOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := dial(t, s.URL())
	const key = "document/blocks/00-1"
	if _, err := client.Set(t.Context(), c, key, "mine"); err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	s.background(func(ctx context.Context) error {
		return demo.Run(ctx, demo.Options{Server: s.server(), Ready: func() { close(ready) }})
	})
	<-ready
	if got := string(s.list(key)[key]); got != `"mine"` {
		t.Errorf("%s is %s", key, got)
	}
}

func TestRunWithoutAServer(t *testing.T) {
	t.Parallel()
	locked := transporttest.NewServer(t, transport.Options{Keys: transporttest.Keys(t)})
	for _, server := range []demo.Server{{URL: locked.URL()}, {URL: "x"}} {
		if err := demo.Run(t.Context(), demo.Options{Server: server, Sensors: 3, Devices: 3}); err == nil {
			t.Errorf("%v: no error", server)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	good := demo.FleetOptions{Devices: 1, First: 1, Prefix: "site/7", Interval: time.Second}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*demo.FleetOptions){
		"devices": func(o *demo.FleetOptions) { o.Devices = 0 }, "first": func(o *demo.FleetOptions) { o.First = -1 },
		"interval": func(o *demo.FleetOptions) { o.Interval = time.Millisecond }, "pattern": func(o *demo.FleetOptions) { o.Prefix = "a/#" },
		"slash": func(o *demo.FleetOptions) { o.Prefix = "a/" }, "empty": func(o *demo.FleetOptions) { o.Prefix = "" },
	} {
		o := good
		change(&o)
		if o.Validate() == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, o := range []demo.Options{{Sensors: -1}, {Sensors: 10_001}, {Devices: -1}, {Devices: 101}} {
		if o.Validate() == nil {
			t.Errorf("%+v: no error", o)
		}
	}
}
