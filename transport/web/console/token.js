// Tokens. The console reads the claims of a token in order to show its rights. It cannot
// verify a token: the server decides.

import { covers, coversPrefix, matches } from "./pattern.js";

// A Token is a JSON Web Token, and the rights that it claims.
export class Token {
  constructor(text) {
    this.text = text.trim().replace(/^Bearer\s+/i, "");
    const claims = readClaims(this.text);
    this.subject = typeof claims.sub === "string" ? claims.sub : "";
    this.expires = typeof claims.exp === "number" ? claims.exp * 1000 : Infinity;
    this.rights = new Rights(typeof claims.rtdb === "object" && claims.rtdb !== null ? claims.rtdb : {});
  }

  get expired() {
    return Date.now() >= this.expires;
  }
}

function readClaims(text) {
  const parts = text.split(".");
  if (!/^[\w-]+\.[\w-]+\.[\w-]+$/.test(text)) {
    throw new Error(
      "this is not a token: a token has three parts in base64url with dots between them, as `rtdb token` prints it",
    );
  }
  try {
    const bytes = Uint8Array.from(atob(parts[1].replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    if (typeof claims === "object" && claims !== null) return claims;
  } catch {
    /* reported below */
  }
  throw new Error("the middle part of this token is not a JSON object in base64url: copy the whole token");
}

const kinds = ["read", "write", "listen", "publish"];

// Rights are the grants that a token claims. Without a claim they are not known: the server is
// asked, and its refusal is shown.
export class Rights {
  constructor(claim) {
    this.known = claim !== null;
    for (const kind of kinds) this[kind] = patterns(claim?.[kind]);
    this.admin = claim?.admin === true;
  }

  // may reports whether a name is granted: "read" and "write" for keys, "listen" and
  // "publish" for topics.
  may(kind, name) {
    return !this.known || this[kind].some((p) => matches(p, name));
  }

  // mayAll reports whether all of a pattern is granted.
  mayAll(kind, pattern) {
    return !this.known || this[kind].some((p) => covers(p, pattern));
  }

  // mayList reports whether all keys below a prefix are granted.
  mayList(prefix) {
    return !this.known || this.read.some((p) => coversPrefix(p, prefix));
  }

  // mayAny reports whether anything of a kind is granted.
  mayAny(kind) {
    return !this.known || this[kind].length > 0;
  }

  get mayOperate() {
    return !this.known || this.admin;
  }

  // lack says why something is not possible, or "" if it is.
  lack(kind, name) {
    return this.may(kind, name) ? "" : `the token does not grant “${kind}” of this name; it grants ${list(this[kind])}`;
  }

  lackAll(kind, pattern) {
    return this.mayAll(kind, pattern)
      ? ""
      : `the token does not grant “${kind}” of all of this pattern; it grants ${list(this[kind])}`;
  }
}

function patterns(claim) {
  return Array.isArray(claim) ? claim.filter((p) => typeof p === "string") : [];
}

function list(patterns) {
  return patterns.length === 0 ? "none" : patterns.join(", ");
}
