// Literals. Names and values may have any character, and must not get out of their quotes.

// shellQuote quotes a text for a POSIX shell.
export function shellQuote(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

const hidden = /[\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

const codeOf = (character) => character.charCodeAt(0).toString(16).padStart(4, "0");

// hiddenCharacters names the characters of a text that cannot be seen, or that turn the
// direction of writing. It returns "" if there are none.
export function hiddenCharacters(text) {
  const found = new Set(text.match(hidden));
  return [...found]
    .slice(0, 8)
    .map((c) => `U+${codeOf(c).toUpperCase()}`)
    .join(", ");
}

// escapeHidden escapes these characters in a literal.
export function escapeHidden(literal) {
  return literal.replace(hidden, (c) => `\\u${codeOf(c)}`);
}

// jsQuote makes a JavaScript string literal of a text.
export function jsQuote(text) {
  return escapeHidden(JSON.stringify(text));
}

// goQuote makes a Go string literal of a text. Go knows the escapes that JSON.stringify
// makes, but for halves of surrogate pairs, which no name and no value has.
export const goQuote = (text) => jsQuote(text.toWellFormed());
