"use strict";
// Sorts and filters the table of a class, and makes the section of a recording when its link is followed.
// Texts come from the server: they are only ever set as textContent.
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const table = byId("recordings");
  if (!table) return;
  const body = table.tBodies[0];
  const title = document.title;
  const [low, high] = data.limits;

  const band = (value) => (value === null ? "none" : value < low ? "weak" : value < high ? "fair" : "good");
  const bandOf = { w: "weak", f: "fair", g: "good" };
  const percent = (value) => (Math.abs(value) < 1e4 ? value.toFixed(1) : value.toPrecision(3)) + "\u00a0%";

  // The table.

  const rows = Array.from(body.rows, (row, index) => {
    const { name, scores = [], columns = [] } = data.recordings[index];
    const values = { name: index, length: parseFloat(row.querySelector(".length").textContent) };
    scores.forEach(([value], skill) => { values[skill] = value; });
    values.level = row.querySelector(".level").textContent;
    values.note = row.querySelector(".note").textContent;
    row.querySelectorAll(".listed").forEach((cell, place) => { values[`list${place}`] = cell.textContent; });
    const text = [name, values.level, values.note, ...columns.map(([, cell]) => cell)].join("\n").toLowerCase();
    return { row, index, values, text };
  });

  const missing = (value) => value === null || value === undefined || value === "" || Number.isNaN(value);

  function sort(header) {
    const key = header.dataset.key;
    const direction = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
    rows.sort((a, b) => {
      const [left, right] = [a.values[key], b.values[key]];
      if (missing(left) || missing(right)) return missing(left) - missing(right) || a.index - b.index;
      return (left < right ? -1 : left > right ? 1 : 0) * direction || a.index - b.index;
    });
    body.append(...rows.map(({ row }) => row));
  }

  for (const header of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    button.addEventListener("click", () => sort(header));
    header.append(button);
  }

  const filter = byId("filter");

  function narrow() {
    const sought = filter.value.trim().toLowerCase().split(/\s+/);
    let shown = 0;
    for (const { row, text } of rows) {
      row.hidden = !sought.every((word) => text.includes(word));
      shown += !row.hidden;
    }
    byId("count").textContent = `${shown} of ${rows.length} shown`;
    byId("nothing").hidden = shown > 0;
    table.hidden = shown === 0;
  }

  filter.addEventListener("input", narrow);
  byId("clear").addEventListener("click", () => { filter.value = ""; narrow(); filter.focus(); });
  filter.parentElement.hidden = false;
  narrow();

  // The section of one recording.

  const isSvg = { svg: true, rect: true };

  function make(name, attributes, ...children) {
    const node = isSvg[name] ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children.filter((child) => child !== null && child !== ""));
    return node;
  }

  const link = (index, text) => make("a", { href: `#r${index}` }, text);

  function section(heading, ...children) {
    return make("section", {}, make("h2", {}, heading), ...children);
  }

  function bars(scores) {
    return make("ul", { class: "bars" }, ...scores.slice(1).map(([value, level, decision], index) => {
      const width = Math.min(Math.max(value ?? 0, 0), 100);
      const bar = make("svg", { class: `bar band-${band(value)}`, viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
        make("rect", { width, height: 10 }));
      const shown = value === null ? make("span", { class: "muted" }, "–") : make("span", { class: `score band-${band(value)}` }, percent(value));
      return make("li", {}, make("span", {}, data.skills[index + 1]), bar, make("span", { class: "number" }, shown),
        make("span", {}, level || ""), make("span", { class: "muted" }, value === null ? "not enough speech" : decision || ""));
    }));
  }

  function transcript({ transcript: text, marks = "" }) {
    const words = make("p", { class: "words", dir: "auto" });
    text.split(" ").forEach((word, index) => {
      const name = bandOf[marks[index]];
      words.append(name && name !== "good" ? make("span", { class: `marked band-${name}` }, word) : word, " ");
    });
    return words;
  }

  function sounds(errors) {
    const head = { Sound: "", "Heard as": "", Kind: "kind", Times: "", "For example": "" };
    return make("table", {},
      make("thead", {}, make("tr", {}, ...Object.entries(head).map(([text, kind]) => make("th", { scope: "col", class: kind }, text)))),
      make("tbody", {}, ...errors.map(([sound, heard, kind, count, examples]) => make("tr", {},
        make("th", { scope: "row" }, sound || "?"), make("td", {}, heard || "–"), make("td", { class: "kind" }, kind),
        make("td", {}, count ? `${count}` : "–"), make("td", {}, make("bdi", {}, examples.join(", ")))))));
  }

  function steps(index) {
    const order = rows.filter(({ row }) => !row.hidden).map((each) => each.index);
    const place = order.indexOf(index);
    const [before, after] = place < 0 ? [] : [order[place - 1], order[place + 1]];
    return make("nav", { class: "steps", "aria-label": "Recordings" },
      before === undefined ? "" : link(before, "← Previous"), after === undefined ? "" : link(after, "Next →"));
  }

  function render(index) {
    const found = data.recordings[index];
    const { scores = [], facts = [], warnings = [], weak = [] } = found;
    const [value, level, decision] = scores[0] ?? [null];
    const parts = [
      make("div", { class: "bread screen-only" }, make("a", { href: "#" }, "← All recordings"), steps(index)),
      make("h1", { tabindex: "-1", dir: "auto" }, found.name),
      found.path ? make("p", { class: "muted small", dir: "auto" }, found.path) : null,
    ];
    if (value !== null) {
      parts.push(make("p", { class: "verdict" }, make("strong", { class: `band-${band(value)}` }, percent(value).slice(0, -2), make("small", {}, "\u00a0%")),
        level ? make("span", { class: "chip" }, level) : null, make("span", {}, decision || "")));
    }
    if (found.problem !== undefined) {
      const [problem, advice] = data.problems[found.problem];
      const reason = found.reason ? make("p", {}, "Reason: ", make("bdi", {}, found.reason)) : null;
      parts.push(make("div", { class: "notice" }, make("h2", {}, problem), make("p", {}, advice), reason));
    }
    if (found.twin) parts.push(make("p", { class: "notice" }, "Same recording as ", make("bdi", {}, found.twin)));
    for (const warning of warnings) parts.push(make("p", { class: "notice" }, warning));
    if (scores.some(([each]) => each !== null)) parts.push(section("Skills", bars(scores)));
    const shown = [...(found.columns ?? []), ...data.facts.map((name, place) => [name, facts[place]])].filter(([, fact]) => fact);
    if (shown.length) {
      parts.push(section("Details", make("dl", { class: "pairs" },
        ...shown.map(([name, fact]) => make("div", {}, make("dt", {}, name), make("dd", {}, fact))))));
    }
    if (found.transcript) {
      const chips = weak.map(([word, score]) => make("li", { class: "chip" }, make("bdi", {}, word), ` ${percent(score)}`));
      const legend = make("p", { class: "small muted" }, make("span", { class: "marked band-weak" }, "weak"), ` below ${low} %, `,
        make("span", { class: "marked band-fair" }, "fair"), ` below ${high} %`);
      parts.push(section("Transcript", transcript(found), legend, chips.length ? make("ul", { class: "weak-words", "aria-label": "Weakest words" }, ...chips) : null));
    }
    if (found.sounds) parts.push(section("Sounds to practise", sounds(found.sounds)));
    byId("section").replaceChildren(...parts.filter(Boolean));
    document.title = `${found.name} – ${title}`;
  }

  let place = 0;

  function route() {
    const match = /^#r(\d+)$/.exec(location.hash);
    const chosen = match && data.recordings[match[1]] ? Number(match[1]) : null;
    const overview = byId("overview");
    if (chosen === null) {
      if (!overview.hidden) return;
      byId("section").hidden = true;
      byId("section").replaceChildren();
      overview.hidden = false;
      document.title = title;
      scrollTo({ top: place, behavior: "instant" });
      return;
    }
    if (!overview.hidden) place = scrollY;
    render(chosen);
    overview.hidden = true;
    byId("section").hidden = false;
    scrollTo({ top: 0, behavior: "instant" });
    byId("section").querySelector("h1").focus();
  }

  addEventListener("hashchange", route);
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && byId("overview").hidden) location.hash = "";
  });
  route();
})();
