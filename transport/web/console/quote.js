// Literals. Names and values may have any character, and must not get out of their quotes.

// shellQuote quotes a text for a POSIX shell.
export function shellQuote(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

const unsafe = /[\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

// escapeHidden escapes the characters of a literal that cannot be seen, or that turn the
// direction of writing.
export function escapeHidden(literal) {
  return literal.replace(unsafe, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
}

// jsQuote makes a JavaScript string literal of a text.
export function jsQuote(text) {
  return escapeHidden(JSON.stringify(text));
}

// goQuote makes a Go string literal of a text. Go knows the escapes that JSON.stringify
// makes, but for halves of surrogate pairs, which no name and no value has.
export const goQuote = (text) => jsQuote(text.toWellFormed());
