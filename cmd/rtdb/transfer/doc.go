// Package transfer moves data from and to a server that runs: keys as JSON lines, and
// backups as files. It is the package behind the commands rtdb export, rtdb import and
// rtdb backup. It knows the server by the wire contract alone, and imports no other
// package of this module.
//
// # Use
//
//	result, err := transfer.Export(ctx, transfer.ExportOptions{Server: server, To: w})
//	result, err := transfer.Import(ctx, transfer.ImportOptions{Server: server, From: r})
//	result, err := transfer.Backup(ctx, transfer.BackupOptions{Server: server, To: "rtdb.tar"})
//
// A result is valid even if there is an error: it counts the work that was done until then.
//
// # Rules
//
//   - A line is {"key":k,"value":v} or {"key":k,"value":v,"expires_in":seconds}.
//   - Keys and values pass letter for letter.
//   - Export writes each key that exists all the time once, in the order of a listing.
//   - Two lines with the same key take effect in the order of the lines. Lines with
//     different keys have no order.
//   - A request that fails for a reason that may pass is made again, for at most
//     [Server.Patience] without success. To write the same value again is harmless.
//   - A file gets its name only when it is whole and on the disk.
//   - Backup compares each file with the checksum that the server sent.
//
// # The same in everyday words
//
// An export is not the state of one moment: it reads page after page, and a key that is
// written meanwhile has its old value or its new one. A backup is of one moment.
//
// If a connection is lost while a batch is written, the client cannot know if the server
// has made the writes, and sends them again. Subscribers may see such a write twice. If
// another client has written one of the keys in between, its value is overwritten. With
// [ImportOptions.IfAbsent] the second attempt finds the keys of the first one, and counts
// them as kept.
//
// # Why encoding/json reads the lines
//
// Package rtdb/transport/rawjson also keeps values letter for letter, but it is a part of
// the server. This package must accept lines of any client, so it reads them as any client
// would: json.RawMessage is the text of a value as it stands in the line. Three rules keep
// encoding/json from altering a line. A line is decoded into a map, so that names of members
// are compared exactly. Keys are sent as they were written. A line that is not valid UTF-8 is
// refused, because one such item would make the whole batch invalid.
//
// # Limits
//
// Export holds one key at a time, and reads a page of 1000 keys in each request. Import
// holds a line, which has at most 256 MiB, and up to 4 MiB for each of its four
// connections. Each connection has its own keys, by the hash of the key; that is how the
// order of a key is kept. A batch has a key only once, so a file that repeats one key all
// the time makes a request for each line.
package transfer
