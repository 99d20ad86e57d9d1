// Package rawjson reads and writes JSON text (RFC 8259) and keeps values letter for
// letter.
//
// # Contract
//
//   - A text must be valid JSON and valid UTF-8. Nesting has no limit; a Value knows
//     its depth.
//   - A value keeps every byte except white space between tokens: numbers are not
//     converted, escapes are not decoded, duplicate members stay.
//   - An escape of half a surrogate pair is valid in a value, because it is valid
//     JSON. A string that has one stands for no text; HasLoneSurrogate reports it.
//   - Names of members are decoded before they are compared, and compared exactly.
//   - A [SyntaxError] names the fault, its byte, and its member.
//
// Package encoding/json cannot keep this contract: it replaces invalid UTF-8 and lone
// surrogates by U+FFFD, matches names in any case, and does not say in which member a
// fault is.
package rawjson
