//go:build !unix

package main

// maxFiles returns 0: the limit of open files is not known.
func maxFiles() uint64 { return 0 }

// withFileMode calls create. These systems have no mode of files.
func withFileMode(_ int, create func()) { create() }

// lockDirectory does nothing: there are no locks of directories.
func lockDirectory(string) (unlock func()) { return func() {} }
