// Package shellwords reads and writes the words of a bash command line for completion.
//
// bash tells a completion the line, and replaces a part of it by what it gets back. That
// part is not the whole word: it begins behind the last unquoted character of
// COMP_WORDBREAKS, such as ':', or behind a quote that is open. [Split] finds the words, and
// [Word.Complete] returns the text to put in place of that part.
package shellwords
