// Package transporttest has what tests of several packages share.
package transporttest
