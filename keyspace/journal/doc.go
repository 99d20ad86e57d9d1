// Package journal keeps the state of a keyspace in a directory. A [Journal] is a
// [keyspace.Store]: a log of checksummed frames, and snapshots that replace the old part of
// the log.
//
// The state itself is in memory, whole, as in Redis and Tarantool. So the store needs no
// index and no second map: it only has to bring back every write that was answered, or to
// say which file is damaged.
//
// # Use
//
// [Open] locks a directory and returns a journal, which is passed to the keyspace. The
// keyspace loads it, commits to it, and closes it. [Check] reads a whole store and reports
// its contents. [PlanRepair] lists the losses of a damaged store, and [Repair.Run] makes a
// store of the rest. [Journal.Backup] copies a store while it serves, and [Restore] makes a
// store of the copy.
//
// # Guarantees
//
//   - With [Always], Commit returns when the writes are durable: they survive a power cut.
//     The keyspace shows a write to readers and subscribers only after that. So nobody
//     sees a write that a power cut can take back.
//   - With an interval, Commit returns when the operating system has the writes. They
//     survive the end of the process. A power cut takes at most the writes of the last
//     interval, and the rest is the state of one moment: if a write is lost, every later
//     one is lost, too. With [Never] the operating system decides the number.
//   - If Commit returns an error, the process must end: the state in memory and the state on
//     disk may differ. Every later Commit returns the same error. A sync that fails is not
//     tried again, because the system may have dropped the data that it could not write
//     (PostgreSQL's fsync errors of 2018). The next process reads such data as if they were
//     durable. So it writes every frame again that no later frame calls durable.
//   - Versions rise over restarts, even if the clock goes back. The epoch stays, and the
//     deletes that the keyspace remembers are kept. So clients resume over a restart without
//     a reset. After a power cut without Always, clients may know writes that are lost. Then
//     the versions that were lost are not given out again, and every client is reset.
//   - Load applies every write that was committed, or returns a [DamageError] that names a
//     file and an offset. It repairs nothing but a torn end. The next section has the
//     exceptions.
//   - One process uses a directory at a time. Another one gets a [LockedError].
//
// # Damage and torn ends
//
// A process that is killed, or a power cut, leaves a torn end: a part of the frame that was
// being written. It was never acknowledged, so it is cut off. A damaged older frame looks
// the same. Three rules tell damage from a torn end:
//
//   - Each frame says up to which offset the file was durable when the frame was written.
//     If a frame is bad, and the header of a later one says that the file was durable
//     beyond it, the bad frame is damaged. Otherwise nobody was told that it was durable.
//   - The last frame has no later one. So when the log has been idle for 50 ms, an empty
//     frame follows. It need not be durable.
//   - A segment that is full, or that is closed, is sealed: its last frame says so, and its
//     successor has its length and its checksum. A segment gets its seal only when its
//     successor exists. So no segment can be missing, be cut, or be another one's.
//
// Two kinds of damage cannot be told from a torn end: damage behind the offset up to which
// the last whole frame says that the file was durable, and a file that something other than
// the end of the process has cut, at any byte. Both are possible only in the newest segment
// of a store that was not closed.
//
// # Commits
//
// The actors of keys call Commit at the same time. A call encodes its writes into the group
// that gathers, gives them their versions, and waits. One goroutine, the committer, takes
// the group, writes it with one system call, makes it durable with another, and wakes its
// writers. Meanwhile the next group gathers. So no writer waits for more than the sync that
// runs and its own. The writes of a call are copied first, so a caller that gives up or
// panics changes nothing for the others.
//
// If the last commit was short and had one write, a call that finds no commit under way does the
// committer's work itself. Then no other goroutine has to be woken.
//
// # Snapshots
//
// A snapshot is due when the segments are longer than 16 MiB and half of the snapshot
// before. Then a segment is begun, the keyspace is asked for its state
// ([keyspace.State.Snapshot]), and a file is written from it while writers go on. It has
// everything of the segments before, and perhaps later writes. These come again when the
// segments behind it are loaded, and the keyspace drops them by their versions. The file is
// complete, durable and renamed before the old files are removed.
//
// So the disk holds at most two snapshots and the segments: 2.5 times the data, and the
// bytes that are written while a snapshot is made. For each byte of the log, two bytes of
// snapshots are written.
//
// # Files
//
// All numbers are little-endian. Checksums are CRC-32C (RFC 3720, section 12.1). A file
// is made with the suffix .tmp, made durable, and renamed.
//
//	rtdb.json            {"format":1,"store":S,"epoch":E,"from":V} and a line "crc32c X"
//	0000000007.log       a segment: a header and frames
//	0000000007.snapshot  a header and frames; it replaces the segments below 7
//	lock                 the number of the process that uses the directory
//	failed               empty: the store failed, so the next start resets the clients, unless Always
//	restoring            empty: a restore is not complete, so the store is refused
//	repaired             a directory: a repair is not complete, so the store is refused
//
// "from" is a version up to which clients may know writes that the store does not have,
// because it was restored or repaired. A header has 92 bytes:
//
//	 0   8  "rtdb log" or "rtdbsnap"
//	 8   4  format, 1
//	12   4  salt: random, begins each frame of the file
//	16  16  store: random, the same in all files
//	32   8  number, as in the file's name
//	40   8  last: no write before the file has a higher version
//	48   8  forgotten: deletes up to this version may be missing
//	56   8  length of the segment before, with its seal; 0 in a snapshot and the first segment
//	64   4  checksum of the segment before
//	68   4  1 if each write of the file was durable before it was visible, or if it gets none
//	72  16  boot: the first half of the boot ID of the system, in hex; 0 if it is not known
//	88   4  checksum of the 88 bytes before
//
// Every format keeps the length and the checksum of the header, and the two lines of
// rtdb.json. So a flipped bit is not taken for another format.
//
// The boot ID tells the end of the process from that of the system, which loses the data
// that was not durable. A frame is a header of 36 bytes and a payload:
//
//	 0   4  salt of the file
//	 4   4  length of the payload
//	 8   8  first: one above the highest version before the frame; in a snapshot the header's last
//	16   8  durable: the bytes of the file that were durable when the frame was written
//	24   1  kind: 1 writes, 2 idle, 3 seal, 4 footer of a snapshot
//	25   3  number of writes
//	28   4  checksum of the payload
//	32   4  checksum of the 32 bytes before and of the frame's offset, as 8 bytes
//
// The salt and the offset keep a value that looks like a frame, and a frame at another place,
// from being taken for one. A write in a payload is
//
//	flags       1 byte: 1 delete, 2 touch, 4 expires, 8 has a version
//	key         uvarint length, bytes
//	version     if 8: varint, the difference to the version before that had one, or to first
//	written     not if touch: varint, Unix milliseconds, the difference to the write before
//	expires     if 4: varint, Unix milliseconds, the difference to written
//	value       not if delete or touch: uvarint length, bytes
//
// Without flag 8 the version is one above that of the write before; the first one has the
// frame's first. A touch has the version of the write that it touches, and takes none.
// varint and uvarint are those of encoding/binary. A footer is three numbers of 8 bytes: the
// writes of the snapshot, their highest version, and the version up to which deletes may be
// missing.
//
// The active segment may end in zeros: it is made longer in steps of 256 KiB, because a sync
// is faster if the file's length does not change.
//
// # Why not a library
//
// Nine engines were measured on 2 cores: 64-byte values, random keys of a million, every
// commit synced in groups. "Harm" is the effect of one flipped byte, of a zeroed page of
// 4 KiB, or of a cut.
//
//	engine              thousand commits a second     harm
//	                    1 / 50 / 1000 writers
//	this one, in draft  6.5 / 109–123 / 540–761       refused, with file and offset
//	Pebble 2.1          4.4 / 96–123 / 202–305        a flip in the last 32 KiB is cut silently; a flip in MANIFEST lost 500 keys
//	etcd's wal          6.3 / 111–157 / 727–997       flips refused; after a zeroed page its repair cut 1,766 commits
//	raft-wal            7.0 / 151 / 808               lost up to 1,773 silently
//	bbolt               2.9 / 15 / 30                 wrong values, panics
//	badger              4.2 / 7 / 6                   lost 3,148 silently
//	tidwall/wal         2.6 / 27 / 241                no checksum: wrong values, panics
//	SQLite              5 / 33 / 43                   lost 247 silently
//	NATS file store     4.7 / 6.4 / 5.8               lost 3,150 silently
//
// The other engines do not refuse all damage, and those that are as fast are logs, which
// lack snapshots. The benchmark in walbench compares this package with etcd's wal.
package journal
