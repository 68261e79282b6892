"use strict";
// What is shown of one pupil, as elements. Texts come from the server: they are only ever set as textContent.
const pupilViews = (data) => {
  const [low, high] = data.limits;

  const band = (value) => (value === null ? "none" : value < low ? "weak" : value < high ? "fair" : "good");
  const bandOf = { w: "weak", f: "fair", g: "good" };
  const percent = (value) => (Math.abs(value) < 1e4 ? value.toFixed(1) : value.toPrecision(3)) + "\u00a0%";
  const notation = (symbol) => (Object.hasOwn(data.sounds, symbol) ? data.sounds[symbol] : [symbol, symbol, symbol, ""]);
  const nameOf = (symbol) => (symbol ? notation(symbol)[0] : "");
  const levelNumber = (level) => data.levels.indexOf((level || "").trim().toUpperCase().replace(/[+-]+$/, ""));

  const MANY_TERMS = 5; // more need a sheet's whole width
  const SVG = ["svg", "rect", "line"];

  function make(name, attributes, ...children) {
    const node = SVG.includes(name) ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children.filter((child) => child !== null && child !== ""));
    return node;
  }

  const byElsa = (...words) => (words.some(Boolean) ? `ELSA: ${words.filter(Boolean).join(", ")}` : "");

  function section(heading, ...children) {
    return make("section", { class: heading.toLowerCase().replaceAll(" ", "-") }, make("h2", {}, heading), ...children);
  }

  function overall([value, level, decision] = [null], equivalents) {
    const reached = levelNumber(level);
    const ladder = reached < 0 ? [] : [make("p", { class: "muted small" }, `ELSA: CEFR level ${data.levels[reached]}`),
      make("ol", { class: "ladder", "aria-label": `ELSA: CEFR level ${data.levels[reached]}` }, ...data.levels.map((name, place) =>
        make("li", place === reached ? { class: "here", "aria-current": "true" } : {}, name)))];
    const figure = value === null ? make("span", { class: "figure muted" }, "Not scored")
      : make("span", { class: "figure" }, percent(value).slice(0, -2), make("span", { class: "unit" }, "\u00a0%"));
    return make("section", { class: "overall" },
      make("div", {}, make("h2", {}, "Overall"), make("p", { class: "headline" }, figure,
        value === null ? null : make("span", { class: `tinted band-${band(value)}` }, band(value)),
        make("bdi", { class: "decision" }, byElsa(reached < 0 ? level : "", decision))), ...ladder),
      equivalents.length ? make("div", {}, make("h3", {}, "Estimated equivalents"), make("dl", { class: "facts" },
        ...equivalents.map(([name, fact]) => make("div", {}, make("dt", {}, name), make("dd", {}, fact))))) : null);
  }

  function bars(scores) {
    const list = make("ul", { class: "bars" }, ...scores.slice(1).map(([value, level, decision], index) => {
      const bar = make("svg", { class: "bar", "aria-hidden": "true" }, make("rect", { class: "track", width: "100%", height: "100%", rx: 5 }),
        value === null ? null : make("rect", { class: "fill", width: `${Math.min(Math.max(value, 0), 100)}%`, height: "100%", rx: 5 }),
        ...data.limits.map((limit) => make("line", { class: "tick", x1: `${limit}%`, x2: `${limit}%`, y1: 0, y2: "100%" })));
      const shown = value === null ? make("span", { class: "absent muted" }, "not scored")
        : make("span", { class: "value" }, `${percent(value)} `, make("span", { class: "tinted small" }, band(value)));
      return make("li", { class: `band-${band(value)}` }, make("span", { class: "name" }, data.skills[index + 1]),
        make("bdi", { class: "said muted" }, byElsa(level, decision)), shown, bar);
    }));
    return [list, make("p", { class: "scale muted small" }, make("span", { class: "tinted band-weak" }, "weak"), ` below ${low}, `,
      make("span", { class: "tinted band-fair" }, "fair"), ` from ${low}, `, make("span", { class: "tinted band-good" }, "good"),
      ` from ${high} %: bounds of this page, not ELSA's.`)];
  }

  // "said d for th": what was heard in place of what.
  function mistake(meant, heard) {
    const [one, other] = [meant, heard].map((symbol) => (symbol ? notation(symbol) : null));
    const same = one && other && one[2] === other[2];
    const letters = ([, , text, example]) => [make("i", {}, text), ...(same && example ? [" as in ", make("i", {}, example)] : [])];
    if (one && other) return make("bdi", {}, "said ", ...letters(other), " for ", ...letters(one));
    if (other) return make("bdi", {}, "added ", ...letters(other));
    return one ? make("bdi", {}, "left out ", ...letters(one)) : make("bdi", {}, "a sound");
  }

  function ipa(meant, heard) {
    return [meant, heard].filter(Boolean).map((name) => `/${notation(name)[1]}/`).join(" → ");
  }

  // Words, each cut into what stands before the letters of a sound, these letters, and what stands behind.
  const listed = (words) => words.flatMap(([before, letters, after], place) => [place ? ", " : "",
    make("bdi", {}, before, letters ? make("b", {}, letters) : "", after)]);

  function exercises({ first, sounds = [] }) {
    return make("ol", { class: "exercises" }, ...first.map(([place, words, score]) => {
      if (place === null) {
        return make("li", {}, make("h3", {}, "The word ", make("i", {}, ...listed(words))),
          make("p", { class: "small muted" }, make("span", { class: `tinted band-${band(score)}` }, `${percent(score)}, ${band(score)}`)));
      }
      const [meant, heard, , count] = sounds[place];
      return make("li", {}, make("h3", {}, make("span", { class: "capital" }, mistake(meant, heard))),
        make("p", { class: "small muted" }, [ipa(meant, heard), count ? `${count} ${count === 1 ? "time" : "times"}` : ""].filter(Boolean).join(", ")),
        make("p", {}, ...listed(words)));
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
    const head = { "What happened": "", IPA: "ipa", Times: "number", "For example in": "examples" };
    const named = ([meant, heard, kind]) => make("li", {}, make("bdi", { class: "sound" }, nameOf(meant) || "nothing"), " → ",
      make("bdi", { class: "sound" }, nameOf(heard) || "nothing"), " ", make("bdi", { class: "muted" }, byElsa(kind)));
    return [make("table", { class: "sounds" },
      make("thead", {}, make("tr", {}, ...Object.entries(head).map(([text, kind]) => make("th", { scope: "col", class: kind }, text)))),
      make("tbody", {}, ...errors.map(([meant, heard, , count, examples]) => make("tr", {},
        make("th", { scope: "row" }, mistake(meant, heard)),
        make("td", { class: "ipa" }, ipa(meant, heard)),
        make("td", { class: "number" }, count ? `${count}` : "–"), make("td", { class: "examples" }, ...listed(examples)))))),
    make("details", { class: "arpabet screen-only" }, make("summary", {}, "In ARPAbet"),
      make("ul", {}, ...errors.map(named)))];
  }

  // The scores of each term; those of the overall score also as a line.
  function progress(course) {
    const cell = (value) => make("td", { class: "number" }, value === null ? make("span", { class: "muted" }, "–")
      : make("span", { class: `score band-${band(value)}` }, percent(value).slice(0, -2)));
    const table = make("table", { class: "progress" },
      make("thead", {}, make("tr", {}, make("td", {}), ...data.terms.map((term) => make("th", { scope: "col", class: "number" }, make("bdi", {}, term))))),
      make("tbody", {}, ...data.skills.map((skill, place) => make("tr", {}, make("th", { scope: "row" }, skill),
        ...course.map((scores) => cell(scores ? scores[place] : null))))));
    return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Scores of each term" }, table);
  }

  const addresses = new Map(); // of recordings that were decoded: each is kept in memory once

  function player(index) {
    const source = document.getElementById(`a${index}`);
    if (!source) return null;
    const audio = make("audio", { controls: "", preload: "none", "aria-label": `Recording of ${data.recordings[index].name}` });
    if (!addresses.has(index)) {
      const bytes = Uint8Array.from(atob(source.textContent), (letter) => letter.charCodeAt(0));
      addresses.set(index, URL.createObjectURL(new Blob([bytes], { type: source.dataset.kind })));
    }
    audio.src = addresses.get(index);
    return audio;
  }

  // What is known of one pupil, on the screen or on a sheet of paper.
  function person(index, length, heading) {
    const found = data.recordings[index];
    const { scores = [], facts = [], warnings = [], weak = [], columns = [] } = found;
    const named = data.facts.map((name, place) => [name, facts[place]]);
    const equivalents = named.slice(0, data.equivalents).filter(([, fact]) => fact);
    const groupOf = columns.filter(([column]) => data.columns.includes(column)).map(([, cell]) => cell);
    const parts = [
      make("h1", heading, found.name),
      make("p", { class: "eyebrow" }, ...[found.day, ...groupOf, length].filter(Boolean)
        .flatMap((text, place) => [place ? " · " : "", make("bdi", {}, text)])),
      found.path ? make("p", { class: "muted small", dir: "auto" }, found.path) : null,
      found.sandbox ? make("p", { class: "notice" }, make("strong", {}, "Sandbox. "), data.notice) : null,
    ];
    if (found.problem !== undefined) {
      const [problem, advice] = data.problems[found.problem];
      const reason = found.reason ? make("p", {}, "Reason: ", make("bdi", {}, found.reason)) : null;
      parts.push(make("div", { class: "notice" }, make("h2", {}, problem), make("p", {}, advice), reason));
    }
    if (found.twin) parts.push(make("p", { class: "notice" }, "Same recording as ", make("bdi", {}, found.twin)));
    for (const warning of warnings) parts.push(make("p", { class: "notice" }, warning));
    if (scores.length) parts.push(overall(scores[0], equivalents));
    if (found.first) parts.push(section("Practise first", exercises(found)));
    if (scores.some(([each]) => each !== null)) parts.push(section("Skills", ...bars(scores)));
    if (found.course) {
      parts.push(section("Progress", progress(found.course)));
      if (found.course.length > MANY_TERMS) parts.at(-1).classList.add("wide");
    }
    if (found.transcript) {
      const chips = weak.map(([word, score]) => make("li", { class: "chip" }, make("bdi", {}, word), ` ${percent(score)}`));
      const legend = make("p", { class: "small muted" }, make("span", { class: "marked band-weak" }, "weak"), ` below ${low} %, `,
        make("span", { class: "marked band-fair" }, "fair"), ` below ${high} %`);
      parts.push(section("What was said", transcript(found), legend, chips.length ? make("ul", { class: "weak-words", "aria-label": "Weakest words" }, ...chips) : null));
    }
    if (found.sounds) parts.push(section("Sounds to practise", ...sounds(found.sounds)));
    const shown = [...columns, ...named.slice(data.equivalents)].filter(([, fact]) => fact);
    if (shown.length) {
      parts.push(section("Details", make("dl", { class: "pairs" },
        ...shown.map(([name, fact]) => make("div", {}, make("dt", {}, name), make("dd", {}, fact))))));
    }
    return parts.filter(Boolean);
  }

  return { band, levelNumber, make, nameOf, percent, person, player };
};
