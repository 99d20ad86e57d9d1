// JSON as text. The console shows and saves values as they are written: a number beyond
// 2^53 and 1.50 keep their digits. JSON.parse would change both.

// maxDepth is how deep a value may be nested on the server.
const maxDepth = 64;

// A SyntaxProblem has the place at which a text stops being JSON, and the reason.
export class SyntaxProblem extends Error {
  constructor(message, text, offset) {
    const before = text.slice(0, offset).split("\n");
    super(message);
    this.line = before.length;
    this.column = [...before.at(-1)].length + 1;
  }
}

const isSpace = (c) => c === 32 || c === 10 || c === 13 || c === 9;
const literal = /true|false|null/y;
const number = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const plain = /[^"\\\u0000-\u001f]*/y;
const escape = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;

// A Scanner steps through a JSON text.
class Scanner {
  constructor(text) {
    this.text = text;
    this.at = 0;
  }

  fail(message, offset = this.at) {
    throw new SyntaxProblem(message, this.text, offset);
  }

  // peek skips white space and returns the next character, "" at the end.
  peek() {
    while (isSpace(this.text.charCodeAt(this.at))) this.at++;
    return this.text.charAt(this.at);
  }

  // take steps over a match of a sticky pattern, and returns it, or "".
  take(pattern) {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text)?.[0] ?? "";
    this.at += found.length;
    return found;
  }

  expect(character, message) {
    if (this.peek() !== character) this.fail(this.at < this.text.length ? message : "the text ends too early");
    this.at++;
  }

  // string steps over a string and returns its text with the quotes.
  string() {
    const start = this.at++;
    for (;;) {
      this.take(plain);
      const c = this.text.charAt(this.at);
      if (c === '"') return this.text.slice(start, ++this.at);
      if (c === "") this.fail("this string has no end", start);
      if (c !== "\\") this.fail("a control character in a string: write it as an escape, such as \\n");
      if (this.take(escape) === "") this.fail("an unknown escape: write a backslash as \\\\");
    }
  }

  // scalar steps over a value that is neither an object nor an array.
  scalar() {
    const c = this.peek();
    if (c === '"') return this.string();
    const found = this.take(literal) || this.take(number);
    if (found === "")
      this.fail(c === "" ? "a value is missing" : c === "'" ? 'strings have double quotes: "…"' : "expected a value");
    return found;
  }

  // members calls each for the members of an object or an array. each steps over a value.
  members(end, depth, each) {
    if (depth > maxDepth + 8) this.fail(`nested too deep: at most ${maxDepth} levels`);
    this.at++;
    for (let first = true; this.peek() !== end; first = false) {
      if (!first) {
        this.expect(",", `expected "," or "${end}"`);
        if (this.peek() === end) this.fail(`remove the "," before "${end}"`);
      }
      let key;
      if (end === "}") {
        if (this.peek() !== '"')
          this.fail(this.at < this.text.length ? "expected a name in double quotes" : "the text ends too early");
        key = this.string();
        this.expect(":", 'expected ":" after the name');
      }
      each(key);
    }
    this.at++;
  }

  // skip steps over a value. It returns how deep it is nested.
  skip(depth = 0) {
    const c = this.peek();
    if (c !== "{" && c !== "[") {
      this.scalar();
      return depth;
    }
    let deepest = depth + 1;
    this.members(c === "{" ? "}" : "]", depth + 1, () => {
      deepest = Math.max(deepest, this.skip(depth + 1));
    });
    return deepest;
  }

  // value returns a value like JSON.parse, but a member "value" of an object as its text.
  value(depth = 0) {
    const c = this.peek();
    if (c === "{") {
      const members = [];
      this.members("}", depth + 1, (key) => {
        if (key !== '"value"') return members.push([JSON.parse(key), this.value(depth + 1)]);
        this.peek();
        const start = this.at;
        this.skip();
        members.push(["value", this.text.slice(start, this.at)]);
      });
      return Object.fromEntries(members);
    }
    if (c === "[") {
      const items = [];
      this.members("]", depth + 1, () => items.push(this.value(depth + 1)));
      return items;
    }
    return JSON.parse(this.scalar());
  }

  end() {
    if (this.peek() !== "") this.fail("the value ends before this");
  }
}

// parse parses an answer or a message of the server. A member "value" is its JSON text.
export function parse(text) {
  const s = new Scanner(text);
  const value = s.value();
  s.end();
  return value;
}

// stringify is the reverse of parse: a member "value" is a JSON text.
export function stringify(message) {
  if (Array.isArray(message)) return `[${message.map(stringify).join(",")}]`;
  if (typeof message !== "object" || message === null) return JSON.stringify(message);
  const members = Object.entries(message).filter(([, v]) => v !== undefined);
  return `{${members.map(([k, v]) => `${JSON.stringify(k)}:${k === "value" ? v : stringify(v)}`).join(",")}}`;
}

// check returns why a text is not a value that the server takes, as a SyntaxProblem, or
// null.
export function check(text) {
  const s = new Scanner(text);
  try {
    const depth = s.skip();
    s.end();
    return depth > maxDepth
      ? new SyntaxProblem(`nested ${depth} levels deep, and the server takes ${maxDepth}`, text, 0)
      : null;
  } catch (err) {
    if (err instanceof SyntaxProblem) return err;
    throw err;
  }
}

// format lays out a JSON text on lines. Strings and numbers stay as they are. Arrays and
// objects without nested ones stay on one line if they are short.
export function format(text) {
  const s = new Scanner(text);
  return block(s, "");
}

const lineLength = 72;

function block(s, indent) {
  const c = s.peek();
  if (c !== "{" && c !== "[") return s.scalar();
  const end = c === "{" ? "}" : "]";
  const inner = indent + "  ";
  const parts = [];
  let flat = true;
  s.members(end, 0, (key) => {
    const nested = s.peek();
    if (nested === "{" || nested === "[") flat = false;
    const value = block(s, inner);
    parts.push(key === undefined ? value : `${key}: ${value}`);
  });
  if (parts.length === 0) return c + end;
  const line = c === "{" ? `{ ${parts.join(", ")} }` : `[${parts.join(", ")}]`;
  if (flat && indent.length + line.length <= lineLength && !line.includes("\n")) return line;
  return `${c}\n${parts.map((p) => inner + p).join(",\n")}\n${indent}${end}`;
}

// compact removes the white space between the tokens of a JSON text.
export function compact(text) {
  const s = new Scanner(text);
  const write = () => {
    const c = s.peek();
    if (c !== "{" && c !== "[") return s.scalar();
    const end = c === "{" ? "}" : "]";
    const parts = [];
    s.members(end, 0, (key) => {
      parts.push(key === undefined ? write() : `${key}:${write()}`);
    });
    return c + parts.join(",") + end;
  };
  return write();
}
