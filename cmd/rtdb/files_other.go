//go:build !unix

package main

func maxFiles() uint64 { return 0 }
