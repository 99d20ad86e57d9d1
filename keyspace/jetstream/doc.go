// Package jetstream is a [keyspace.SharedStore] on a stream of NATS JetStream: the nodes of a
// cluster share one state.
//
// # Use
//
// [Open] connects a [Store] to NATS. A keyspace that is opened on it loads the state, and then
// follows the writes of the other nodes. Stores in several processes, with the same servers and
// the same [Options].Stream, share one state. The store is also a [keyspace.Bus] for topics and
// a [keyspace.WillStore], and it asks the other nodes to end older sessions of a client
// ([Store.TakeOver]).
//
// # Rules
//
//   - The stream's order is the only order. The version of a write is the sequence of its
//     message, times 16, plus the index of the write in the message.
//   - Each commit has the last sequence of its key as its condition. So a commit that was
//     accepted knew every write of the key before it.
//   - A commit that was answered is kept by a majority of the stream's replicas.
//   - A commit is made at most once. If the answer is lost, the same message is sent again. If
//     the outcome is not known in the end, the error says so ([keyspace.ErrUnknownOutcome]).
//   - The feed passes each message once, in the stream's order. If it was behind, it passes
//     only the newest message of each key, and no older one after it.
//   - A node that is cut off refuses writes and goes on to serve reads. A node whose stream is
//     another one, or has lost messages, fails: it must start again.
//   - The wills of a node that dies are carried out by another one, once. Those of a client that
//     comes to another node are carried out before TakeOver returns, even if the older node does
//     not answer.
//
// # The stream
//
// One message is one commit: up to 16 writes of one key (message.go). Its subject is the key's
// name, level by level (subject.go), so tools for NATS show and select keys. The stream keeps
// one message for each subject. It has four kinds of subjects; rtdb stands for its name:
//
//	rtdb.k.<key>                  the newest commit of a key; a delete stays for 24 hours
//	rtdb.b.<instance>             the newest beat of a node
//	rtdb.w.<instance>.<session>   the wills of a session
//	rtdb.r.>                      not stored: each message, published again by the server
//
// Three more are of core NATS, which stores nothing: rtdb.t.<topic> has the messages of topics,
// rtdb.s.takeover the requests between nodes, and rtdb.s.loss says that a node has lost its
// connection, so that messages of topics that it has published may be lost.
//
// # The feed
//
// A consumer of a stream that keeps one message for each subject misses messages that are
// replaced before it reads them: 15% at 1000 writes a second to one key, and 66% at 5000. A
// stream that keeps 16 messages of each subject brings 99.9%, and is 16 times as large. So
// the feed is not a consumer. The server publishes each message again when it has stored it
// (RePublish), and the nodes subscribe to that. Nothing is lost as long as the connection
// holds. A message that is lost nevertheless leaves a gap in the sequences, which the next
// message shows; there is one at least each second, because of the beats. The feed then reads
// the missing messages from the stream, by direct gets (ADR-31), as Load does. Messages that
// were replaced meanwhile are gone.
//
// Load subscribes first. Then it publishes a beat and waits until the beat comes back at a
// sequence s. Messages after s wait in the subscription. Messages before s are read from the
// stream. A message that is replaced meanwhile may not be among them. So Load then follows the
// feed until a second beat comes back, and so has the message that has replaced it.
//
// # Conflicts
//
// The answer to a commit is one of these:
//
//   - It was accepted. The node applies it, and ignores the message when the feed brings it.
//   - The key has another last sequence. Either another node was faster, or this is a second
//     attempt and the first one was accepted. So the store waits until the feed has brought
//     that message, and looks for the operation's number in it.
//   - Another commit of the key is in flight. The store tries again after some milliseconds.
//   - There is no answer. The store sends the same message again each second, for 8 s.
//
// A server that has lost the leadership in a partition, and does not know it yet, may refuse
// a message that the new leader accepts. So a refusal counts only if it says that the key has a
// newer message, or if no server can have accepted the message.
//
// # Nodes
//
// Each node publishes a beat each second, through the stream. A node that has not heard its
// own beat for 3 s is cut off. If a node has been silent for 10 s, another one declares it
// dead, by a message in place of its next beat. Each beat has the last one as its condition,
// so either the beat counts or the declaration. A node that learns that it was declared dead
// goes on as another instance, and must end its sessions, because their wills are carried
// out.
//
// If the wills of a session cannot be carried out when it ends, its node goes on to try. A
// condition of a will is decided on a message that is not older than a barrier.
//
// With a beat, a node says how many keys it has, and a hash of all keys and their sequences,
// at a sequence that other nodes know, too. A node that differs from the majority is not
// ready ([Store.Ready]). So a replica of NATS that has lost data, or a fault of rtdb, is
// noticed.
//
// The nodes use the server's clock: a node measures by its beats how far its own is off. Keys
// that expire are deleted by the node with the highest hash of its instance and the key
// (rendezvous hashing), and after a second by any other. The server's own time to live for each
// message is not used for that, because it erased writes that came at the same moment (10 of
// 9000).
//
// # Limits
//
// Every node holds all keys. More nodes serve more connections and reads, but not more keys
// or writes. A node that finds a message with the format of a newer version of rtdb fails, and
// must be upgraded. Other messages that rtdb has not made mean nothing; if one takes the place
// of a key's value, a node that has the value puts it back. A client that may publish to the stream's
// subjects may change the state, so only nodes should have that right.
//
// # In other words
//
// The nodes do not talk to each other about the state. Each proposes its writes to NATS,
// which says yes or no and tells every node the writes that it has accepted. A node that is
// not sure sends the same message again, and a node that has missed messages reads them from
// the stream.
package jetstream
