// Names and patterns, by the same rules as the server's.

// checkName returns why the name of a key or a topic is not valid, or "". The console
// checks names itself, because a browser resolves ".." in an address before it asks the
// server.
export function checkName(name) {
  if (/[+#]/.test(name)) return "a name has no + and no #: these are for patterns";
  return checkLevels(name);
}

// checkPattern returns why a pattern is not valid, or "".
export function checkPattern(pattern) {
  const levels = pattern.split("/");
  for (const [i, level] of levels.entries()) {
    if (level.includes("+") && level !== "+") return "a + is a level of its own: devices/+/state";
    if (level.includes("#") && (level !== "#" || i < levels.length - 1))
      return "a # is the last level of a pattern: devices/#";
  }
  return checkLevels(pattern);
}

function checkLevels(name) {
  if (name === "") return "a name is missing";
  if (!name.isWellFormed()) return "the name is not valid Unicode: it has half of a surrogate pair";
  if (new TextEncoder().encode(name).length > 512) return "a name has at most 512 bytes";
  if (/[\u0000-\u001f\u007f]/.test(name)) return "a name has no control characters";
  for (const level of name.split("/")) {
    if (level === "") return "a level of the name is empty: remove the / at an end, or one of two";
    if (level === "." || level === "..") return 'a level of a name is neither "." nor ".."';
  }
  return "";
}

// isPattern reports whether a text has a wildcard.
export function isPattern(text) {
  return /[+#]/.test(text);
}

// matches reports whether a name matches a pattern.
export function matches(pattern, name) {
  return compare(pattern.split("/"), name.split("/"), false);
}

// covers reports whether a pattern matches each name that the other pattern matches.
export function covers(pattern, other) {
  return compare(pattern.split("/"), (other === "#" ? "+/#" : other).split("/"), true);
}

// coversPrefix reports whether a pattern matches each name that begins with a prefix.
export function coversPrefix(pattern, prefix) {
  return covers(pattern, prefix.slice(0, prefix.lastIndexOf("/") + 1) + "+/#");
}

function compare(wanted, levels, levelsMayBeWild) {
  for (let i = 0; ; i++) {
    if (wanted[i] === "#") return true;
    if ((levelsMayBeWild && levels[i] === "#") || (wanted[i] !== "+" && wanted[i] !== levels[i])) return false;
    if (i === wanted.length - 1) return i === levels.length - 1;
    if (i === levels.length - 1) return wanted[i + 1] === "#";
  }
}
