"use strict";
// Sorts, filters and groups the table of a class, and makes the section of a recording when its link is followed.
// Texts come from the server: they are only ever set as textContent.
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const table = byId("recordings");
  if (!table) return;
  const body = table.tBodies[0];
  const title = document.title;
  const { band, levelNumber, make, nameOf, percent, person, player } = pupilViews(data);
  // The table.

  const inWords = new Intl.Collator(undefined, { numeric: true }); // as the reader's language sorts
  const LETTERS = { ł: "l", ø: "o", đ: "d", ð: "d", ħ: "h", þ: "th", ı: "i", ß: "ss", æ: "ae", œ: "oe", ς: "σ", "’": "'" };
  const folded = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase()
    .replace(/[łøđðħþıßæœς’]/g, (letter) => LETTERS[letter]);

  const rows = Array.from(body.rows, (row, index) => {
    const { name, scores = [], columns = [] } = data.recordings[index];
    const values = { name, length: parseFloat(row.querySelector(".length").textContent) };
    scores.forEach(([value], skill) => { values[skill] = value; });
    values.level = row.querySelector(".level").textContent;
    values.note = row.querySelector(".note").textContent;
    row.querySelectorAll(".listed").forEach((cell, place) => { values[`list${place}`] = cell.textContent; });
    const text = folded([name, values.level, values.note, ...columns.map(([, cell]) => cell)].join("\n"));
    return { row, index, values, text, name, columns: Object.fromEntries(columns) };
  });

  rows.sort((a, b) => inWords.compare(a.name, b.name) || a.index - b.index);
  rows.forEach((each, place) => { each.place = place; });
  body.append(...rows.map(({ row }) => row));
  const placeOf = new Map(rows.map(({ index, place }) => [String(index), place]));
  const secondsOf = new Map(rows.map(({ index, values }) => [index, values.length]));

  // The lists of names: their first names stay in view, the others folded away.
  for (const part of document.querySelectorAll(".problem, .lesson details")) {
    const lists = [...part.querySelectorAll(".names")];
    const shown = lists[0].children.length;
    const items = lists.flatMap((list) => [...list.children])
      .sort((a, b) => placeOf.get(a.dataset.row) - placeOf.get(b.dataset.row));
    lists[0].append(...items.slice(0, shown));
    if (lists[1]) lists[1].append(...items.slice(shown));
  }

  // Whoever is in other terms only has no row in the table, and so no place there: everybody is sorted by name.
  const nameIn = (row) => row.querySelector("th").textContent;
  for (const course of document.querySelectorAll("table.progress tbody")) {
    course.append(...[...course.rows].sort((a, b) => inWords.compare(nameIn(a), nameIn(b))));
  }

  const missing = (value) => value === null || value === undefined || value === "" || Number.isNaN(value);

  function sort(header) {
    const key = header.dataset.key;
    const direction = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
    rows.sort((a, b) => {
      const [left, right] = [a.values[key], b.values[key]];
      if (missing(left) || missing(right)) return missing(left) - missing(right) || a.place - b.place;
      const order = typeof left === "string" ? inWords.compare(left, right) : left - right;
      return order * direction || a.place - b.place;
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

  const groups = [...document.querySelectorAll(".group")];

  function narrow() {
    const sought = folded(filter.value.trim()).split(/\s+/);
    let shown = 0;
    for (const { row, text, columns } of rows) {
      row.hidden = !sought.every((word) => text.includes(word)) || !isChosen(columns);
      shown += !row.hidden;
    }
    byId("count").textContent = `${shown} of ${rows.length} shown`;
    byId("nothing").hidden = shown > 0;
    table.hidden = shown === 0;
  }

  const isChosen = (columns) => groups.every(({ value, dataset }) => !value || columns[dataset.column] === value);

  // A group narrows the whole page: names, sounds and drawings, too.
  function regroup() {
    narrow();
    const chosen = new Set(rows.filter(({ columns }) => isChosen(columns)).map(({ index }) => String(index)));
    const all = chosen.size === rows.length; // then also those who are in other terms only, of whom no group is known
    for (const item of document.querySelectorAll("[data-row]")) item.hidden = !chosen.has(item.dataset.row) && !(all && item.dataset.row === "");
    for (const part of document.querySelectorAll(".problem")) {
      const number = part.querySelectorAll("li:not([hidden])").length;
      part.hidden = number === 0;
      part.querySelector(".chip").textContent = number;
      const more = part.querySelector("details");
      if (more) {
        const rest = more.querySelectorAll("li:not([hidden])").length;
        more.hidden = rest === 0;
        more.querySelector("summary").textContent = `${rest} more`;
      }
    }
    const sounds = [...document.querySelectorAll(".lesson tbody tr")];
    for (const each of sounds) {
      const number = each.querySelectorAll("li:not([hidden])").length;
      each.hidden = number === 0;
      each.querySelector(".pupils").textContent = number;
      each.querySelector(".times").textContent = timesIn(each, chosen);
    }
    const numberOf = (row) => Number(row.querySelector(".pupils").textContent);
    sounds.sort((a, b) => numberOf(b) - numberOf(a) || a.dataset.sound - b.dataset.sound);
    if (sounds.length) sounds[0].parentElement.append(...sounds);
    for (const figure of document.querySelectorAll("figure[data-skill]")) redraw(figure, chosen);
    redrawLevels(chosen);
    retell(chosen);
  }

  // The numbers at the top.
  function retell(chosen) {
    const found = [...chosen].map((index) => data.recordings[index]);
    const tiles = byId("tiles").querySelectorAll("dd");
    const figure = document.querySelector("figure[data-skill='0'] .median strong");
    tiles[0].textContent = found.length;
    tiles[1].textContent = found.filter(({ scores }) => (scores ?? [])[0]?.[0] !== undefined && scores[0][0] !== null).length;
    tiles[2].textContent = found.filter(({ problem }) => data.again.includes(problem)).length;
    tiles[3].replaceChildren(...(figure ? [figure.textContent.slice(0, -2), make("small", {}, "\u00a0%")] : ["–"]));
    byId("summary").hidden = chosen.size < rows.length;
  }

  function timesIn(row, chosen) {
    let total = 0;
    const [meant, heard] = data.lesson[row.dataset.sound];
    for (const index of chosen) {
      for (const [one, other, , count] of data.recordings[index].sounds ?? []) {
        if (nameOf(one) === meant && nameOf(other) === heard) total += count || 1;
      }
    }
    return total;
  }

  function redraw(figure, chosen) {
    const found = [...chosen].map((index) => (data.recordings[index].scores ?? [])[figure.dataset.skill]?.[0] ?? null);
    const given = found.filter((value) => value !== null).map((value) => Math.min(Math.max(value, 0), 100)).sort((a, b) => a - b);
    const half = given.length >> 1;
    const middle = given.length % 2 ? given[half] : (given[half - 1] + given[half]) / 2;
    figure.querySelector(".median").replaceChildren(
      ...(given.length ? ["median ", make("strong", {}, percent(middle))] : [make("span", { class: "muted" }, "not scored")]));
    const heights = {};
    for (const value of given) {
      const bin = Math.min(Math.floor(value / 5), 19);
      heights[bin] ??= { weak: 0, fair: 0, good: 0 };
      heights[bin][band(value)] += 1;
    }
    const totals = Object.values(heights).map(({ weak, fair, good }) => weak + fair + good);
    const highest = Math.max(1, ...totals);
    figure.querySelector(".most").textContent = highest;
    const drawing = figure.querySelector(".histogram");
    drawing.querySelectorAll("rect").forEach((rect) => rect.remove());
    for (const [bin, counts] of Object.entries(heights)) {
      let top = 100;
      for (const [name, count] of Object.entries(counts)) {
        const height = count / highest * 100;
        top -= height;
        if (count) drawing.append(make("rect", { class: `band-${name}`, x: bin * 5 + 0.4, y: top, width: 4.2, height }));
      }
    }
    const tally = { weak: 0, fair: 0, good: 0, none: 0 };
    for (const value of found) tally[band(value)] += 1;
    figure.querySelector(".tally").replaceChildren(...Object.entries(tally).flatMap(([name, count]) => (count || name !== "none"
      ? [make("span", { class: `tinted band-${name}` }, `${count} ${name === "none" ? "not scored" : name}`), " "] : [])));
  }

  function redrawLevels(chosen) {
    const items = [...document.querySelectorAll(".levels li")];
    const levelOf = (index) => levelNumber(((data.recordings[index].scores ?? [])[0] ?? [])[1]);
    const counts = items.map((_, place) => [...chosen].filter((index) => levelOf(index) === place).length);
    items.forEach((item, place) => {
      item.querySelector(".number").textContent = counts[place];
      item.querySelector("rect").setAttribute("width", counts[place] / Math.max(1, ...counts) * 100);
    });
  }

  filter.addEventListener("input", narrow);
  for (const group of groups) group.addEventListener("change", regroup);
  byId("clear").addEventListener("click", () => {
    filter.value = "";
    for (const group of groups) group.value = "";
    regroup();
    filter.focus();
  });
  for (const tools of document.querySelectorAll(".tools")) tools.hidden = false;

  // The section of one recording.

  const link = (index, text) => make("a", { href: `#r${index}` }, text);

  function steps(index) {
    const order = rows.filter(({ row }) => !row.hidden).map((each) => each.index);
    const place = order.indexOf(index);
    const [before, after] = place < 0 ? [] : [order[place - 1], order[place + 1]];
    return make("nav", { class: "steps", "aria-label": "Recordings" },
      before === undefined ? "" : link(before, "← Previous"), after === undefined ? "" : link(after, "Next →"));
  }

  const lengthOf = (index) => {
    const seconds = secondsOf.get(index);
    return Number.isNaN(seconds) ? "" : `${seconds.toFixed(1)} s of audio`;
  };

  function render(index) {
    const parts = person(index, lengthOf(index), { tabindex: "-1", dir: "auto" });
    const sound = player(index);
    if (sound) parts.splice(data.recordings[index].path ? 3 : 2, 0, sound);
    byId("section").replaceChildren(
      make("div", { class: "bread screen-only" }, make("a", { href: "#" }, "← All recordings"), steps(index)), ...parts);
    document.title = `${data.recordings[index].name} – ${title}`;
  }

  // One sheet for each pupil that the table shows.
  byId("print").addEventListener("click", () => {
    const shown = rows.filter(({ row }) => !row.hidden).map(({ index }) => index);
    byId("sheets").replaceChildren(...shown.map((index) => make("article", { class: "sheet" }, ...person(index, lengthOf(index), { dir: "auto" }))));
    document.body.classList.add("printing");
    print();
  });
  addEventListener("afterprint", () => {
    document.body.classList.remove("printing");
    byId("sheets").replaceChildren();
  });

  let place = 0;
  let origin = null; // the link that was followed: who comes back with the keyboard goes on from there

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
      if (origin) origin.focus({ preventScroll: true });
      scrollTo({ top: place, behavior: "instant" });
      return;
    }
    if (!overview.hidden) [place, origin] = [scrollY, document.activeElement.closest("a")];
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
  narrow();
  route();
})();
