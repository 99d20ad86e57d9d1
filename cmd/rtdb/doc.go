// Command rtdb is a real-time database and publish/subscribe server: a
// key-value store in memory whose every change reaches every subscribed client
// at once.
//
//	rtdb            serve; see rtdb --help for the settings
//	rtdb health     ask a server whether it is alive
//	rtdb token      make a token, or look into one
//	rtdb bench      load a server, and say what the machine can take
//	rtdb version    print the version
//
// Each setting is a flag, or else an environment variable, or else has a
// default. Once configured the server logs to standard error, a JSON object a
// line. It ends with exit status 0 after SIGTERM or SIGINT, 1 where it cannot
// listen or serve, and 2 where a setting makes no sense.
package main
