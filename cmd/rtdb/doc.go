// Command rtdb is a real-time database and publish/subscribe server. It keeps keys
// and values in memory and, with --data-dir, on disk, and every change of a key reaches
// every subscribed client at once. With --nats-url it is one of several nodes that share
// one state.
//
//	rtdb             run the server
//	rtdb health      check that a server is alive
//	rtdb token       make an access token, or inspect one
//	rtdb get         print the values of keys
//	rtdb set         write a key
//	rtdb patch       change a part of a value
//	rtdb delete      delete keys
//	rtdb list        list keys
//	rtdb watch       print the changes of keys, and the messages of topics
//	rtdb publish     send a message to a topic
//	rtdb bench       measure a server under load
//	rtdb export      write the keys of a running server as JSON lines
//	rtdb import      write JSON lines to a running server
//	rtdb backup      write a backup of a running server to a file
//	rtdb check       read a whole store, and print a summary
//	rtdb repair      list the losses of a damaged store, and repair it
//	rtdb restore     make a store of a backup
//	rtdb demo        run a server in memory with live pages
//	rtdb simulate    run simulated devices
//	rtdb version     print the version
//	rtdb completion  print a script that lets a shell complete commands and keys
//
// Each command lists its settings with --help. A setting is a flag, or else an
// environment variable, or else the default. An empty variable counts as unset.
//
// # Logs and exit status
//
// Before the server is configured, an error is one plain line on standard error. After
// that the server logs to standard error, one JSON object a line. Nothing waits for
// standard error: lines that it does not take are dropped and counted.
//
// The server exits with status 0 after SIGTERM, SIGINT or SIGQUIT, 1 if it cannot load
// the certificate or the state, listen or serve, or if NATS refuses it, 2 if a setting is
// wrong, and 3 if its store could not write or is gone. At SIGHUP it reads its files
// again.
//
// # Structure
//
// Each command is a struct of its flags with a method Run, in the file of its name.
// [commandLine] lists them, and parse fills the one that the arguments name.
package main
