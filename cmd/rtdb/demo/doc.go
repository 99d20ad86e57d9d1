// Package demo has the data, the pages and the devices of the commands rtdb demo and
// rtdb simulate. It talks to a server through the Go client alone, as any program would.
//
// # Use
//
// [Pages] are the web pages, which a server serves at /. [Run] writes the data that they
// show, and goes on until its context ends:
//
//	err := demo.Run(ctx, demo.Options{Server: demo.Server{URL: url}, Sensors: 2000, Devices: 60})
//
// A [Fleet] is a number of simulated devices, each with a connection of its own:
//
//	fleet := demo.NewFleet(demo.FleetOptions{Server: server, Devices: 1000, First: 101, Prefix: "devices", Interval: time.Second})
//	err := fleet.Run(ctx) // fleet.Status() says how it goes
//
// # Keys
//
//	sensors/07/042         {"celsius":21.4,"n":17}       n counts the writes of the key
//	devices/7/state        "online" or "offline"
//	devices/7/reading      {"celsius":21.4,"battery":87,"n":17}
//	devices/7/command      {"lamp":"on"}                 written by a page
//	devices/7/lamp         {"lamp":"on","command":v}     the answer; v is the command's version
//	document/blocks/…      {"text":"…","by":"…"}
//	chat/lobby/messages/…  {"from":"…","text":"…"}       expires
//	chat/lobby/here/…      "Ada"                         deleted by a will
//
// Topics are document/cursors and chat/lobby/typing.
//
// # Rules
//
//   - The state of a device is "offline" soon after its connection has ended, for any
//     reason: a device leaves a will, and before an orderly end it writes the state itself.
//   - A device that has lost its connection comes back, and says that it is online.
//   - A device obeys the command that its key has, also one that was written while the
//     device was away. It answers a command that it does not understand, too.
//   - A fleet ends at the first error that does not pass, such as a token that is refused,
//     because the other devices would get the same error.
//   - The values depend on the seed alone, and not on the speed of the server.
//
// # Limits
//
// A demo has up to 10,000 sensors and 100 devices, and a fleet up to 100,000 devices. Each
// device takes one open file here and one at the server. Two fleets must not have a device
// in common: the newer one takes it over, and the older fleet ends.
//
// # The same in everyday words
//
// Everything here is a toy, but the clients behave as real ones should: kill the process,
// pull the cable or restart the server, and after a moment each page shows the truth again.
package demo
