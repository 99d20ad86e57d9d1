// Package terminal shows text of strangers on a terminal.
//
// A key or a value is made by clients, and a terminal acts upon some characters: a value
// could move the cursor, change the title or hide a line. [Visible] and [Fit] turn each such
// character into an escape, so that a person sees it and the terminal does nothing.
//
// A [Table] is a list of keys with their newest values. A [Screen] takes the whole terminal
// to show it, and gives the terminal back.
package terminal
