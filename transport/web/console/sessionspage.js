// Sessions: which clients lag, and why sessions ended.

import { clock } from "./changelist.js";
import { ask } from "./dialog.js";
import { operatorHint } from "./calls.js";
import { button, every, h, name, Part, put } from "./dom.js";
import { byLabel, readMetrics } from "./metrics.js";
import { bytesText } from "./serverpage.js";
import { duration } from "./timetolive.js";

const columns = [
  "Remote",
  "Client",
  "Age",
  "Subscriptions",
  "Delivered",
  "Conflated",
  "Dropped",
  "Waiting keys",
  "Waiting bytes",
  "Lag",
  "Action",
];

// A SessionsPage shows the sessions while it is visible.
export class SessionsPage extends Part {
  #first = null; // the ends by reason when the page was opened

  constructor(server) {
    super();
    this.server = server;
  }

  start(signal) {
    this.signal = signal;
    this.sort = h(
      "select",
      { "aria-label": "Sort by", onchange: () => this.reload() },
      h("option", { value: "lag" }, "by lag"),
      h("option", { value: "bytes" }, "by waiting bytes"),
      h("option", { value: "age" }, "by age"),
    );
    this.note = h("p.lack", { hidden: true, role: "status" });
    this.summary = h("span.summary", { role: "status" });
    this.body = h("tbody");
    this.ends = h("tbody");
    this.content = h(
      "div",
      {},
      h("div.bar", {}, this.sort, this.summary),
      h(
        "table.sessions",
        {},
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            columns.map((c) => h("th", { scope: "col" }, c)),
          ),
        ),
        this.body,
      ),
      h("h2", {}, "Why sessions ended"),
      h(
        "table.ends",
        {},
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            ["Reason", "Since the server started", "Since this page was opened"].map((c) =>
              h("th", { scope: "col" }, c),
            ),
          ),
        ),
        this.ends,
      ),
    );
    this.append(h("h2", {}, "Sessions"), this.note, this.content);
    this.reload = every(2000, signal, () => this.#read());
  }

  async #read() {
    try {
      const [{ node, sessions }, metrics] = await Promise.all([
        this.server.calls.sessions(this.sort.value, this.signal),
        this.server.calls.metrics(this.signal),
      ]);
      this.note.hidden = true;
      this.content.hidden = false;
      this.content.classList.remove("is-stale");
      this.#draw(sessions, node);
      this.#drawEnds(new Map(byLabel(readMetrics(metrics), "rtdb_session_ends_total", "reason")));
    } catch (err) {
      if (this.signal.aborted) return;
      const hint = operatorHint(err.code);
      this.note.hidden = false;
      this.content.hidden = hint !== "";
      this.content.classList.add("is-stale");
      put(this.note, hint || `stale: ${err.message}`);
      if (hint) return 30_000;
    }
  }

  #draw(sessions, node) {
    put(
      this.summary,
      node ? ["node ", name(node), ": "] : null,
      `${sessions.length.toLocaleString("en")} ${sessions.length === 1 ? "session" : "sessions"}${sessions.length === 200 ? ", the first 200" : ""}`,
    );
    const rows = new Map([...this.body.children].map((row) => [row.dataset.id, row]));
    put(
      this.body,
      sessions.map((s) => this.#fill(rows.get(s.id) ?? this.#makeRow(s), s)),
    );
  }

  #makeRow(s) {
    return h(
      "tr",
      { "data-id": s.id },
      columns.slice(0, -1).map((c) => h("td", { "data-label": c })),
      h(
        "td",
        {},
        button("End…", () => this.#kick(s), { className: "danger", "aria-label": `End session ${s.id}` }),
      ),
    );
  }

  #fill(row, s) {
    const number = (n) => n.toLocaleString("en");
    const names = [s.client, s.subject].filter(Boolean);
    const lag = s.lag_ms > 0 ? `${duration(s.lag_ms / 1000)}, since ${clock(Date.now() - s.lag_ms).slice(0, 8)}` : "–";
    const cells = [
      [name(s.remote), h("small", {}, s.route)],
      names.length > 0 ? names.map((n) => name(n)) : "–",
      duration(s.age_ms / 1000),
      number(s.subscriptions),
      number(s.delivered),
      number(s.conflated),
      number(s.dropped),
      number(s.pending_keys),
      bytesText(s.pending_bytes),
      lag,
    ];
    for (const [i, cell] of cells.entries()) put(row.children[i], cell);
    row.classList.toggle("lags", s.lag_ms > 1000 || s.pending_bytes > 64 << 10 || s.pending_keys > 256);
    return row;
  }

  #drawEnds(ends) {
    this.#first ??= ends;
    const rows = [...ends].filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1]);
    put(
      this.ends,
      rows.length === 0
        ? h("tr", {}, h("td", { colSpan: 3 }, "No session has ended."))
        : rows.map(([reason, n]) =>
            h(
              "tr",
              {},
              h("td", { "data-label": "Reason" }, name(reason)),
              h("td", { "data-label": "Since the server started" }, n.toLocaleString("en")),
              h(
                "td",
                { "data-label": "Since this page was opened" },
                `+${(n - (this.#first.get(reason) ?? 0)).toLocaleString("en")}`,
              ),
            ),
          ),
    );
  }

  async #kick(s) {
    const isSure = await ask({
      title: "End this session?",
      action: "End session",
      isDangerous: true,
      text: [
        h(
          "p",
          {},
          "Session ",
          name(s.id),
          " of ",
          name(s.remote),
          s.client ? [", client ", name(s.client)] : null,
          ".",
        ),
        h("p", {}, "It is closed with code 4009. Its will is carried out. The client may connect again."),
      ],
    });
    if (!isSure) return;
    try {
      await this.server.calls.kick(s.id);
    } catch (err) {
      if (err.code !== "not_found")
        await ask({ title: "The session was not ended", text: err.message, action: "Close" });
    }
    this.reload();
  }
}

customElements.define("sessions-page", SessionsPage);
