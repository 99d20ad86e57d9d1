// The fragment of the address names the page: "#/keys/building/3?filter=a%2F%2B". It has
// no token. Anybody can make a link, so nothing in it is trusted.

const pages = ["keys", "topics", "sessions", "server", "delete"];

// readRoute returns { page, name, query } of a fragment. It leaves out parts that are not valid.
export function readRoute(fragment) {
  const [path, search] = fragment.replace(/^#\/?/, "").split("?", 2);
  const [first, ...rest] = path.split("/");
  const query = new Map(new URLSearchParams((search ?? "").replaceAll("+", "%2B")));
  return {
    page: pages.includes(first) ? first : "keys",
    name: decode(rest.join("/")),
    query,
  };
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}

// routeTo returns a fragment.
export function routeTo(page, name = "", query = {}) {
  let text = `#/${page}`;
  if (name !== "") text += "/" + name.toWellFormed().split("/").map(encodeURIComponent).join("/");
  const pairs = Object.entries(query).filter(([, v]) => v !== "" && v !== undefined);
  if (pairs.length > 0) text += "?" + pairs.map(([k, v]) => `${k}=${encodeURIComponent(v.toWellFormed())}`).join("&");
  return text;
}
