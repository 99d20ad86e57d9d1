// Package terminal shows text of strangers on a terminal.
//
// A key or a value is made by clients, and a terminal acts upon some characters: a value
// could move the cursor, change the title or hide a line. [Visible] and [Fit] turn each such
// character into an escape, so that a person sees it and the terminal does nothing.
//
// A [Table] is a list of keys with their newest values. A [Screen] takes the whole terminal
// to show it, and gives the terminal back:
//
//	screen := terminal.NewScreen(os.Stdout)
//	err := screen.Take()
//	defer screen.Close()
//	err = screen.Draw(table.Lines(columns, lines, time.Now()))
//
// # Rules
//
//   - Text that clients have written reaches the terminal only through Visible or Fit.
//     [Table.Lines] does that by itself.
//   - JSON text that passes through Visible is JSON text of the same value.
//   - The caller of [Screen.Take] must call [Screen.Close], also before the process is
//     suspended.
//
// # Limits
//
// The terminal must know the sequences of xterm, and must show UTF-8. The width of a
// character is that of Unicode Standard Annex 11: a terminal that draws one wider shifts
// the rest of its line. Nothing here is safe for concurrent use.
//
// # In other words
//
// Values come from anybody. This package shows them as text, and as nothing else.
package terminal
