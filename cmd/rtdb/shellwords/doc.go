// Package shellwords reads and writes the words of a bash command line for completion.
//
// bash gives a completion the line, and replaces a part of it by the answer. That part is
// not the whole word: it begins behind the last unquoted character of COMP_WORDBREAKS, such
// as ':', or behind a quote that is open. [Split] finds the words, and [Word.Complete]
// returns the text to put in place of that part:
//
//	words := shellwords.Split("rtdb get 'dev", breaks)
//	text := words[len(words)-1].Complete("devices/", false)
//
// # Rules
//
//   - The last word is the word at the cursor. It is empty behind a space.
//   - Quotes and backslashes are removed by Split, and put back by Complete in the style that
//     the word has.
//   - An unquoted < or > is a word of its own, as a redirection.
//
// # Limits
//
// The package does not expand variables, globs, braces or commands: they stay as they are
// written. It knows no other operators, such as | and ;. The caller gets one simple command.
//
// # In other words
//
// bash treats a:b as two words, and 'a b as the end of a word in quotes. A key of rtdb may
// have each of these characters. This package hides the difference from the code that knows
// the keys.
package shellwords
