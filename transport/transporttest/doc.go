// Package transporttest has helpers for the tests of several packages.
package transporttest
