package natstest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// patience is how long a test waits for something that should come soon.
const patience = 40 * time.Second

// Options for [Start]. The zero value is one server that syncs each write to the disk.
type Options struct {
	// Servers is the number of servers: 1 or 3. 0 is 1.
	Servers int

	// Lazy lets servers confirm a write before it is synced to the disk. JetStream does so by
	// default, and is faster then.
	Lazy bool

	// TLS makes clients use TLS. They need the authority in [Cluster.Certificate].
	TLS bool

	// Verify makes clients show a certificate, such as [Cluster.Certificate]. It implies TLS.
	Verify bool

	// Storage is the most that each server may store in files, as max_file_store takes it.
	// "" is 4GB.
	Storage string

	// Quiet keeps the servers from telling clients the addresses of each other. So a client
	// that is given the address of a proxy connects to nothing else.
	Quiet bool

	// Route returns the address at which a server connects to another one, whose own address
	// it gets: that of a proxy, for example. Each server connects to each other one. If Route
	// is nil, they connect directly.
	Route func(from, to int, addr string) string

	// Config has further lines for the configuration file of each server, such as users and
	// their permissions.
	Config string

	// Connect has the options of each connection that the cluster makes, such as a user and
	// a password that Config demands. The user must be allowed to create a stream.
	Connect []nats.Option
}

// A Cluster is a number of servers with JetStream.
type Cluster struct {
	servers     []*Server
	connect     []nats.Option
	certificate *Certificate // nil without TLS
}

// Start runs servers, and waits until they can store messages. They end with the test.
func Start(tb testing.TB, o Options) *Cluster {
	tb.Helper()
	if !supported {
		tb.Skip("natstest needs a system with Unix signals")
	}
	if o.Servers == 0 {
		o.Servers = 1
	}
	if o.Servers != 1 && o.Servers != 3 {
		tb.Fatalf("natstest: Options.Servers is %d, use 1 or 3", o.Servers)
	}
	program, err := build()
	if err != nil {
		tb.Fatalf("natstest: %v", err)
	}
	c := &Cluster{connect: o.Connect}
	if o.TLS || o.Verify {
		if c.certificate, err = newCertificate(tb.TempDir()); err != nil {
			tb.Fatalf("natstest: make a certificate: %v", err)
		}
		c.connect = append([]nats.Option{nats.RootCAs(c.certificate.CA), nats.ClientCert(c.certificate.Cert, c.certificate.Key)}, c.connect...)
	}
	for i := range o.Servers {
		s, err := newServer(tb, program, fmt.Sprintf("s%d", i))
		if err != nil {
			tb.Fatalf("natstest: %v", err)
		}
		c.servers = append(c.servers, s)
	}
	for _, s := range c.servers {
		if err := s.writeConfig(c, o); err != nil {
			tb.Fatalf("natstest: %v", err)
		}
		s.launch()
	}
	for _, s := range c.servers {
		s.awaitOpen()
	}
	if tb.Failed() {
		tb.FailNow()
	}
	c.awaitStorage(tb)
	return c
}

// awaitStorage waits until a stream can be created that has a replica on every server.
func (c *Cluster) awaitStorage(tb testing.TB) {
	tb.Helper()
	c.eventually(tb, "natstest: no stream can be created", func(ctx context.Context) error {
		return c.ask(ctx, 0, func(js jetstream.JetStream) error {
			_, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
				Name: "natstest", Subjects: []string{"natstest"}, Storage: jetstream.MemoryStorage, Replicas: len(c.servers),
			})
			if err != nil {
				return err
			}
			return js.DeleteStream(ctx, "natstest")
		})
	})
}

// URL returns the addresses of all servers, separated by commas, as [nats.Connect] takes
// them.
func (c *Cluster) URL() string {
	var urls []string
	for _, s := range c.servers {
		urls = append(urls, s.URL())
	}
	return strings.Join(urls, ",")
}

// Servers returns the number of servers.
func (c *Cluster) Servers() int { return len(c.servers) }

// Server returns a server. The first one has the number 0.
func (c *Cluster) Server(i int) *Server { return c.servers[i] }

// Certificate returns the files for TLS. Without Options.TLS and Options.Verify it is nil.
func (c *Cluster) Certificate() *Certificate { return c.certificate }

// Connect opens a connection to one of the servers, with the cluster's certificate, then
// Options.Connect, and then o. It ends with the test.
func (c *Cluster) Connect(tb testing.TB, o ...nats.Option) *nats.Conn {
	tb.Helper()
	nc, err := nats.Connect(c.URL(), slices.Concat(c.connect, o)...)
	if err != nil {
		tb.Fatalf("connect to %s: %v", c.URL(), err)
	}
	tb.Cleanup(nc.Close)
	return nc
}

// Leader returns the number of the server that leads a stream. If there is no leader now,
// it waits for one. A leader that was paused may believe for some seconds that it still
// leads.
func (c *Cluster) Leader(tb testing.TB, stream string) int {
	tb.Helper()
	leader := -1
	c.eventually(tb, fmt.Sprintf("natstest: stream %q has no leader", stream), func(ctx context.Context) error {
		var failure error
		for i, s := range c.servers {
			if !s.answers() {
				continue
			}
			var name string
			failure = c.ask(ctx, i, func(js jetstream.JetStream) error {
				found, err := js.Stream(ctx, stream)
				if err != nil {
					return err
				}
				if name = s.name; len(c.servers) > 1 {
					name = found.CachedInfo().Cluster.Leader
				}
				return nil
			})
			for j, s := range c.servers {
				if failure == nil && s.name == name && s.answers() {
					leader = j
					return nil
				}
			}
		}
		return failure
	})
	return leader
}

// ask calls f with a connection to one server, which ends then.
func (c *Cluster) ask(ctx context.Context, server int, f func(jetstream.JetStream) error) error {
	nc, err := nats.Connect(c.servers[server].URL(), slices.Concat(c.connect, []nats.Option{nats.NoReconnect(), nats.Timeout(2 * time.Second)})...)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	return f(js)
}

// eventually calls try until it succeeds. The first attempt has 200 ms, because without a
// leader nobody answers. Each further one has a tenth more, for machines that are busy.
func (c *Cluster) eventually(tb testing.TB, what string, try func(context.Context) error) {
	tb.Helper()
	end := time.Now().Add(patience)
	for limit := 200 * time.Millisecond; ; limit += limit / 10 {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		err := try(ctx)
		cancel()
		if err == nil {
			return
		}
		if tb.Failed() || time.Now().After(end) {
			for _, s := range c.servers {
				tb.Logf("the log of %s ends:\n%s", s.name, s.logEnd())
			}
			tb.Fatalf("%s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
