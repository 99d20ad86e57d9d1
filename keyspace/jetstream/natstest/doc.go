// Package natstest runs real nats-server processes with JetStream for tests.
//
//	c := natstest.Start(t, natstest.Options{Servers: 3})
//	nc := c.Connect(t)
//	… // create the stream EVENTS
//	i := c.Leader(t, "EVENTS")
//	c.Server(i).Kill()
//	c.Leader(t, "EVENTS") // another server
//	c.Server(i).Restart() // with the same ports and files
//
// # Rules
//
//   - The version of nats-server is the one in go.mod, as a tool. The go command
//     builds the program, and keeps it in its build cache.
//   - [Start] returns when the cluster can store messages on all of its servers.
//   - Each server has its own process, folder and log. Ports are free ones of 127.0.0.1,
//     and stay reserved until the test ends, so a restart finds them free.
//   - A server that ends without being told fails the test, which then shows the end of
//     its log.
//   - Every server ends with the test. On Linux it also ends if the test's process dies.
//   - The methods of [Cluster] and [Server] may be called from any goroutine, except for
//     those with a testing.TB: they may end the test, and belong to its goroutine.
//
// # Times
//
// If the build cache has no nats-server, the first test of a run waits for its build:
// about a minute on two processors. Tests of several packages wait for the same build.
// Later runs find the program within 0.3 s. One server is ready after 0.1 s. Three servers
// need about 1 s, for the election of their leader. If the leader of a stream was killed, the
// next one is elected after 4 to 10 s: let such tests run in parallel.
//
// # Limits
//
// Tests are skipped on systems without Unix signals. On systems other than Linux, another
// program may take a server's port while the server is down, servers outlive a test's
// process that dies, and [Server.Stop] returns before the server is paused.
//
// # In other words
//
// A test may expose JetStream to the faults of production: crashes, pauses and changes of the
// leader. Nothing of it is left when the test has ended.
package natstest
