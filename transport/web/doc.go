// Package web has the files for browsers, and serves them: the JavaScript client, the
// console, and a folder of the user's own pages.
//
// # Rules
//
//   - [Client], [Console] and [Public] return a [Site]. [Site.Find] finds the file of a
//     path, and [File.Serve] sends it.
//   - A path that leads out of the folder, to a directory without index.html, or to a
//     hidden file has no file. Nothing lists a directory.
//   - Each response has an ETag, a Content-Type that is not guessed from the content, and a
//     Content-Security-Policy. A browser asks each time whether the file has changed.
//   - Files of the program are compressed for clients that accept gzip. Files of a folder
//     are not.
//
// # Limits
//
// The files of a folder must be seekable, as those of [os.DirFS] are; otherwise [File.Serve]
// fails. A large file is sent as it is read, and a file of the program is held in memory,
// plain and compressed.
//
// # The client and the console
//
// rtdb.js is the client: one ES module without a build step, as README.md in this folder
// describes it. The folder console has the console. It uses the client, and loads nothing
// from elsewhere. Its policy permits only its own scripts and styles, and no text that
// becomes markup (W3C Content Security Policy Level 3; W3C Trusted Types).
//
// # In other words
//
// This is a small file server. Package transport decides which requests reach it, and serves
// all other paths.
package web
