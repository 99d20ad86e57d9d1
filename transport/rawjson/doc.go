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
//
// # Why not jsontext
//
// Package jsontext (github.com/go-json-experiment/json v1.27.2, the coming
// encoding/json/v2) is fast enough: a write in BenchmarkWrites takes about 2% more CPU,
// and a small set takes 1.3 times the time to parse. But it cannot keep the contract.
// Its error texts and some of its offsets differ, and clients see both. It refuses
// nesting deeper than 10,000, and its recursion grows the stack to 2 MB at 9,000. If it
// accepts lone surrogates, it accepts invalid UTF-8, too. It reports neither the depth
// of a value nor its white space. It would save about 100 of the scanner's 311 lines.
// When encoding/json/v2 is stable, check if its error texts are stable, if the option
// WithDepthLimit has an effect, and if lone surrogates have an option of their own.
package rawjson
