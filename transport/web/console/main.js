// The console: pages, the keyboard, and signing in.

import { CallError, base } from "./calls.js";
import { showCode } from "./copydialog.js";
import { DeletePage } from "./deletepage.js";
import { ask, dialog } from "./dialog.js";
import { button, h, name, Part, put } from "./dom.js";
import { showKeys } from "./keyhelp.js";
import { KeysPage } from "./keyspage.js";
import { readRoute, routeTo } from "./route.js";
import { Server } from "./server.js";
import { ServerPage } from "./serverpage.js";
import { SessionsPage } from "./sessionspage.js";
import { SignIn, showRights } from "./signin.js";
import { duration } from "./timetolive.js";
import { TopicsPage } from "./topicspage.js";

const pages = [
  { id: "keys", label: "Keys", make: (s) => new KeysPage(s), needs: (r) => r.mayAny("read") || r.mayAny("write") },
  {
    id: "topics",
    label: "Topics",
    make: (s) => new TopicsPage(s),
    needs: (r) => r.mayAny("listen") || r.mayAny("publish"),
  },
  { id: "sessions", label: "Sessions", make: (s) => new SessionsPage(s), needs: (r) => r.mayOperate },
  { id: "server", label: "Server", make: (s) => new ServerPage(s), needs: (r) => r.mayOperate },
  { id: "delete", label: "Delete", make: (s) => new DeletePage(s), needs: (r) => r.mayAny("write") },
];

const retryMillis = 5000;

const states = { open: "live", connecting: "connecting…", waiting: "no connection: trying again", closed: "not connected" };

// A Console shows one page at a time.
class Console extends Part {
  #page = null; // { node, route, hash }
  #isAsking = false; // whether to discard a text
  #goesWithout = false; // the user wants to go on without a token

  start(signal) {
    this.server = new Server();
    this.links = new Map(
      pages.map((p) => [
        p.id,
        h("a", { href: routeTo(p.id), onclick: () => this.#page === null && setTimeout(() => this.#route()) }, p.label),
      ]),
    );
    this.state = h("span.state", { role: "status" });
    this.account = h("button.account", { type: "button", hidden: true, onclick: () => this.#showAccount() });
    this.banner = h("div.banner", { hidden: true, role: "alert" });
    this.main = h("main", { tabIndex: -1 });
    this.append(
      h(
        "header.top",
        {},
        h("h1", { translate: false }, "rtdb"),
        h("nav", { "aria-label": "pages" }, [...this.links.values()]),
        this.state,
        this.account,
        h(
          "button.help",
          {
            type: "button",
            title: "Keys of the keyboard (?)",
            "aria-label": "Keys of the keyboard",
            onclick: showKeys,
          },
          "?",
        ),
      ),
      this.banner,
      this.main,
    );
    addEventListener("hashchange", () => this.#route(), { signal });
    addEventListener("keydown", (e) => this.#key(e), { signal });
    addEventListener("beforeunload", (e) => this.#page?.node.isDirty && e.preventDefault(), { signal });
    const { server } = this;
    server.addEventListener("state", () => this.#drawState());
    server.addEventListener("refused", (e) => this.#signIn(e.detail));
    server.addEventListener("expiring", () => this.#renew());
    server.addEventListener("access", () => this.#drawAccess());
    this.#begin(null);
  }

  // #begin asks whether the server takes the token, and then shows the page.
  async #begin(token) {
    const { server } = this;
    this.#page = null;
    put(this.main, h("p.hint", {}, `asking ${base.host}…`));
    server.open(token);
    try {
      await server.calls.check();
    } catch (err) {
      if (err.status === 401) return; // the form is shown
      const retry = () => this.main.contains(panel) && this.#begin(token);
      const panel = h(
        "section.panel",
        {},
        h("h2", {}, "The server does not answer"),
        h("p.problem.wrong", {}, err instanceof CallError ? err.message : String(err)),
        h("div.bar", {}, button("Try again now", retry, { className: "primary" })),
      );
      put(this.main, panel);
      setTimeout(retry, retryMillis);
      return;
    }
    this.#route();
  }

  #signIn(reason) {
    if (!this.banner.hidden || this.main.querySelector("sign-in") || (this.#goesWithout && this.server.token === null))
      return;
    const isFirst = this.server.token === null;
    this.#page = null;
    const form = new SignIn(
      this.server,
      isFirst ? "This server asks for a token." : `The server did not take the token: ${reason}`,
    );
    form.addEventListener("token", (e) => this.#enter(e.detail));
    put(this.main, form);
  }

  #enter(token) {
    this.banner.hidden = true;
    this.#goesWithout = token === null;
    if (token === null) {
      this.server.open(null);
      this.#route();
    } else this.#begin(token);
  }

  // #renew asks for a new token, and leaves the page as it is.
  #renew() {
    const { token } = this.server;
    const form = new SignIn(this.server, "A new token of the same subject keeps the page as it is.");
    form.addEventListener("token", (e) => {
      this.banner.hidden = true;
      if (e.detail) this.server.open(e.detail);
    });
    const left = h("strong");
    const count = () =>
      put(
        left,
        token.expired
          ? "The token has expired."
          : `The token expires in ${duration((token.expires - Date.now()) / 1000)}.`,
      );
    const timer = setInterval(() => (this.banner.hidden ? clearInterval(timer) : count()), 1000);
    count();
    this.banner.hidden = false;
    put(this.banner, left, form);
  }

  #drawState() {
    const { state } = this.server;
    put(this.state, states[state] ?? state);
    this.state.className = `state ${state}`;
  }

  #drawAccess() {
    const { token, rights } = this.server;
    this.account.hidden = false;
    put(this.account, token ? token.subject || "token" : "Sign in");
    for (const p of pages) {
      const may = p.needs(rights);
      const link = this.links.get(p.id);
      link.classList.toggle("lacks", !may);
      link.title = may ? "" : "the token does not grant this";
    }
    this.#drawState();
  }

  #showAccount() {
    const { token } = this.server;
    if (!token) {
      this.#page = null;
      const form = new SignIn(this.server, "");
      form.addEventListener("token", (e) => this.#enter(e.detail));
      put(this.main, form);
      return;
    }
    const box = dialog(
      "Token",
      showRights(token),
      h(
        "div.bar.end",
        {},
        h(
          "button",
          {
            type: "button",
            onclick: () => {
              box.close();
              this.#begin(null);
            },
          },
          "Sign out",
        ),
        button("Close", () => box.close(), { className: "primary", autofocus: true }),
      ),
    );
  }

  // #route shows the page that the fragment of the address names. It asks first if the user has
  // edited a value that is not saved.
  async #route() {
    if (this.#isAsking) return;
    if (this.#page?.node.isDirty && !this.#stays(readRoute(location.hash))) {
      this.#isAsking = true;
      const isSure = await ask({
        title: "Discard your text?",
        text: ["The value of ", name(this.#page.route.name), " is not saved."],
        action: "Discard",
        isDangerous: true,
      });
      this.#isAsking = false;
      if (!isSure) {
        history.replaceState(null, "", this.#page.hash);
        return;
      }
    }
    const route = readRoute(location.hash);
    if (this.#page?.route.page !== route.page) this.#open(pages.find((p) => p.id === route.page));
    Object.assign(this.#page, { route, hash: location.hash });
    const { node } = this.#page;
    if (route.page === "keys") node.show(route.name, route.query.get("filter") ?? "");
    if (route.page === "topics") node.show(route.query.get("follow") ?? "");
    if (route.page === "delete") node.show(route.query.get("pattern") ?? "");
  }

  #stays(route) {
    return route.page === "keys" && route.name === this.#page.route.name;
  }

  #open(page) {
    const node = page.make(this.server);
    this.#page = { node, route: { page: page.id } };
    for (const [id, link] of this.links) {
      if (id === page.id) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    document.title = `${page.label} – rtdb`;
    node.addEventListener("copy", (e) => showCode(e.detail, this.server.token !== null));
    node.addEventListener("go", (e) => this.#go(page.id, e.detail));
    put(this.main, node);
  }

  #go(page, detail) {
    const to =
      page === "keys"
        ? routeTo("keys", detail.name, { filter: detail.filter })
        : routeTo("topics", "", { follow: detail });
    if (location.hash === to) this.#route();
    else location.hash = to;
  }

  #key(e) {
    if (e.ctrlKey || e.altKey || e.metaKey || e.defaultPrevented || document.querySelector("dialog[open]")) return;
    const isTyping = e.target.matches?.("input, textarea, select");
    const node = this.#page?.node;
    if (e.key === "Escape") {
      if (isTyping) e.target.blur();
      else if (node instanceof KeysPage) node.leave();
      return;
    }
    if (isTyping) return;
    const actions = {
      "/": () => this.main.querySelector("input")?.focus(),
      "?": showKeys,
      n: () => node.make?.(),
      p: () => (node.tree ?? node.tail)?.pause(),
      c: () => node.copy?.(),
    };
    const page = pages[Number(e.key) - 1];
    if (page) location.hash = routeTo(page.id);
    else if (node && Object.hasOwn(actions, e.key)) actions[e.key]();
    else return;
    e.preventDefault();
  }
}

customElements.define("rtdb-console", Console);
