package demo_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"rtdb/cmd/rtdb/demo"
	"rtdb/transport"
	"rtdb/transport/client"
	"rtdb/transport/transporttest"
)

func (s *site) fleet(devices int) *demo.Fleet {
	return demo.NewFleet(demo.FleetOptions{Server: s.server(), Devices: devices, First: 1, Prefix: "devices", Interval: 20 * time.Millisecond})
}

func dial(t *testing.T, url string) *client.Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := client.Dial(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Devices send readings and are online until the fleet ends in an orderly way.
func TestAFleet(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const devices = 30
	fleet := s.fleet(devices)
	stop := s.background(fleet.Run)
	transporttest.Eventually(t, "all are online", func() bool { return s.states("online") == devices && fleet.Status().Online == devices })
	transporttest.Eventually(t, "10 readings each", func() bool { return fleet.Status().Readings >= 10*devices })
	var reading struct {
		Celsius float64
		N       int
		Battery int
	}
	if err := json.Unmarshal(s.list("devices/7/")["devices/7/reading"], &reading); err != nil || reading.N == 0 || reading.Battery == 0 || reading.Celsius < 15 || reading.Celsius > 45 {
		t.Errorf("a reading is %+v, %v", reading, err)
	}
	stop()
	if n := s.states("offline"); n != devices {
		t.Errorf("%d of %d devices are offline after the end", n, devices)
	}
	if status := fleet.Status(); status.Online != 0 || status.Failed != 0 || status.Trouble != nil {
		t.Errorf("at the end: %v, %v", status, status.Trouble)
	}
}

// A device that comes back overwrites the state that its will has written.
func TestAFleetSurvivesARestart(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	proxy := transporttest.NewProxy(t, s.Addr)
	fleet := demo.NewFleet(demo.FleetOptions{
		Server: demo.Server{URL: proxy.URL()}, Devices: 10, First: 1, Prefix: "devices", Interval: 20 * time.Millisecond,
	})
	s.background(fleet.Run)
	transporttest.Eventually(t, "all are online", func() bool { return s.states("online") == 10 })
	proxy.Refuse(true)
	proxy.Cut()
	transporttest.Eventually(t, "the wills are written", func() bool { return s.states("offline") == 10 })
	if status := fleet.Status(); status.Trouble == nil {
		t.Errorf("without a server: %v, and no trouble", status)
	}
	proxy.Refuse(false)
	transporttest.Eventually(t, "all are back", func() bool { return s.states("online") == 10 && fleet.Status().Online == 10 })

	next := newSite(t) // it is empty
	proxy.Retarget(next.Addr)
	proxy.Cut()
	transporttest.Eventually(t, "all are online at the new server", func() bool { return next.states("online") == 10 })
}

func TestADeviceAnswersEachCommand(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := dial(t, s.URL())
	command := func(text string) (version uint64) {
		t.Helper()
		version, err := client.Set(t.Context(), c, "devices/1/command", json.RawMessage(text))
		if err != nil {
			t.Fatal(err)
		}
		return version
	}
	type answer struct {
		Lamp    string
		Command uint64
		Error   string
	}
	wants := func(want answer) {
		t.Helper()
		var got answer
		transporttest.Eventually(t, "the device answers", func() bool {
			got = answer{}
			_ = json.Unmarshal(s.list("devices/1/")["devices/1/lamp"], &got) // the answer may not be there yet
			return got.Command == want.Command
		})
		if got != want {
			t.Errorf("the answer is %+v, want %+v", got, want)
		}
	}
	version := command(`{"lamp":"on"}`) // before the device is there
	s.background(s.fleet(1).Run)
	wants(answer{"on", version, ""})
	for _, bad := range []string{`{"lamp":"red"}`, `"on"`, `null`, `{"lamp":7}`, `[[[[]]]]`} {
		wants(answer{"on", command(bad), `expected {"lamp":"on"} or {"lamp":"off"}`})
	}
	wants(answer{"off", command(`{"lamp":"off"}`), ""})
}

// An error that does not pass ends the fleet.
func TestAFleetThatCannotRun(t *testing.T) {
	t.Parallel()
	locked := transporttest.NewServer(t, transport.Options{Keys: transporttest.Keys(t)})
	open := newSite(t)
	for _, test := range []struct {
		server demo.Server
		is     error
		want   string
	}{
		{demo.Server{URL: "db.example"}, nil, "use a URL like"},
		{demo.Server{URL: open.URL() + "/healthz"}, client.ErrNotFound, "nothing at this path"},
		{demo.Server{URL: locked.URL()}, client.ErrUnauthorized, ""},
		{demo.Server{URL: locked.URL(), Token: "x.y.z"}, client.ErrUnauthorized, ""},
		{demo.Server{URL: locked.URL(), Token: transporttest.Token(t, "", `{"write":["other/#"]}`, time.Hour)}, client.ErrForbidden, "devices/1/"},
		{demo.Server{URL: locked.URL(), Token: transporttest.Token(t, "", `{"write":["devices/#"]}`, time.Hour)}, client.ErrForbidden, ""},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		fleet := demo.NewFleet(demo.FleetOptions{Server: test.server, Devices: 5, First: 1, Prefix: "devices", Interval: time.Hour})
		err := fleet.Run(ctx)
		if err == nil || ctx.Err() != nil || test.is != nil && !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line with %q that is %v", test.server.URL, err, test.want, test.is)
		}
		cancel()
	}
}

// The second of two fleets with the same devices takes over, and the first one says why it
// has ended.
func TestTwoFleetsWithTheSameDevices(t *testing.T) {
	t.Parallel()
	for try := 1; !takesOver(t); try++ { // the machine may be busy with something else
		if try == 3 {
			t.Fatal("devices of the first fleet come back")
		}
	}
}

// takesOver reports whether the second fleet goes on. If a device of the first one does not
// answer for 2 s, the server cuts it off before it has read why. Then it comes back, and the
// second fleet ends, too.
func takesOver(t *testing.T) bool {
	s := newSite(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	run := func(f *demo.Fleet) (ended chan error) {
		ended = make(chan error, 1)
		go func() { ended <- f.Run(ctx) }()
		return ended
	}
	first := run(s.fleet(5))
	transporttest.Eventually(t, "all are online", func() bool { return s.states("online") == 5 })
	second := run(s.fleet(5))
	if err := <-first; !errors.Is(err, client.ErrReplaced) || !strings.Contains(err.Error(), "--first") {
		t.Errorf("the first fleet has ended with %v", err)
	}
	transporttest.Eventually(t, "all are online again", func() bool { return s.states("online") == 5 || len(second) > 0 })
	cancel()
	err := <-second
	if err != nil && !errors.Is(err, client.ErrReplaced) {
		t.Errorf("the second fleet has ended with %v", err)
	}
	return err == nil
}
