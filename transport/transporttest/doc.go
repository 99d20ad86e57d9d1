// Package transporttest has the parts of tests over real sockets that several packages
// share: a server, a proxy that spoils its connections, a browser and tokens.
//
//	s := transporttest.NewServer(t, transport.Options{})
//	p := transporttest.NewProxy(t, s.Addr)
//	page := transporttest.StartChromium(t).Open(t, p.URL()+"/console/")
//	p.Cut()
//	page.Await(`document.body.innerText.includes("no connection")`)
//
// # Rules
//
//   - Each part ends with the test that has made it, and leaves no goroutine.
//   - Servers and proxies listen on free ports of 127.0.0.1.
//   - A test whose tool is not installed is skipped, and fails if the environment variable
//     CI is set: see [NeedTool].
//
// # Limits
//
// [Chromium] needs Linux, and a program named chromium. A [Page] is for one goroutine. A
// [Proxy] knows bytes and not messages, so a spoiled WebSocket may end within a frame.
//
// # In other words
//
// A test that uses this package tests the program as a client sees it, on a network that
// breaks when the test says so.
package transporttest
