"use strict";
// Words that can be chosen, seen and heard; a waveform to seek in. Text goes in as textContent only.
(() => {
  const find = (id) => document.getElementById(id);
  const data = JSON.parse(find("data").textContent);
  const words = [...document.querySelectorAll(".word")];
  const audio = find("sound");
  let stopAt = Infinity;

  function clock(seconds) {
    const whole = Math.round(seconds);
    return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
  }

  // Decoded when it is first played: the page opens at once, however long the recording.
  function loadAudio() {
    if (audio.src) return;
    const text = atob(find("recording").textContent);
    const bytes = new Uint8Array(text.length);
    for (let index = 0; index < text.length; index += 1) bytes[index] = text.charCodeAt(index);
    audio.src = URL.createObjectURL(new Blob([bytes], { type: data.kind }));
  }

  function play(from, to) {
    loadAudio();
    stopAt = to;
    if (from !== null) audio.currentTime = from;
    audio.play().catch(() => { find("clock").textContent = "This browser can't play the recording."; });
  }

  function seek(seconds) {
    loadAudio();
    stopAt = Infinity;
    audio.currentTime = Math.min(Math.max(seconds, 0), data.seconds);
    show();
  }

  function show() {
    const at = audio.currentTime;
    const slider = find("seek");
    find("clock").textContent = `${clock(Math.floor(at))} / ${clock(data.seconds)}`;
    if (!slider) return;
    const x = `${Math.min(100 * at / data.seconds, 100)}%`;
    find("head").setAttribute("x1", x);
    find("head").setAttribute("x2", x);
    find("head").setAttribute("visibility", "visible");
    slider.setAttribute("aria-valuenow", at.toFixed(1));
    slider.setAttribute("aria-valuetext", `${at.toFixed(1)} of ${data.seconds.toFixed(1)} seconds`);
  }

  // The words in the order in which they are spoken: to find the one of a moment takes no look at all of them.
  const timed = words.filter((word) => data.words[word.dataset.word][0] !== null)
    .sort((one, other) => data.words[one.dataset.word][0] - data.words[other.dataset.word][0]);
  let spoken = null;

  function wordAt(seconds) {
    let [low, high] = [0, timed.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (data.words[timed[middle].dataset.word][0] <= seconds) low = middle + 1; else high = middle;
    }
    const word = timed[low - 1];
    return word && seconds < data.words[word.dataset.word][1] ? word : null;
  }

  function markSpoken(word) {
    if (word === spoken) return;
    if (spoken) spoken.classList.remove("spoken");
    if (word) word.classList.add("spoken");
    spoken = word;
  }

  const stop = () => { if (audio.currentTime >= stopAt) audio.pause(); };

  function follow() {
    stop();
    show();
    markSpoken(audio.paused ? null : wordAt(audio.currentTime));
    if (!audio.paused) requestAnimationFrame(follow);
  }

  function setUpPlayer() {
    const button = find("play");
    find("player").hidden = false;
    button.addEventListener("click", () => {
      if (!audio.paused) audio.pause();
      else play(audio.currentTime >= data.seconds - 0.05 ? 0 : null, Infinity);
    });
    audio.addEventListener("play", () => { button.textContent = "Pause"; follow(); });
    audio.addEventListener("pause", () => { button.textContent = "Play"; });
    audio.addEventListener("timeupdate", stop); // a page in the background has no animation frames
    audio.addEventListener("ended", () => { button.textContent = "Play"; });
    const slider = find("seek");
    if (!slider) return;
    const attributes = { role: "slider", tabindex: 0, "aria-label": "Position in the recording", "aria-valuemin": 0,
      "aria-valuemax": data.seconds.toFixed(1), "aria-valuenow": 0, "aria-valuetext": "at the start" };
    for (const [name, value] of Object.entries(attributes)) slider.setAttribute(name, value);
    slider.addEventListener("click", (event) => {
      const box = find("area").getBoundingClientRect();
      seek(data.seconds * (event.clientX - box.left) / box.width);
    });
    slider.addEventListener("keydown", (event) => {
      const targets = { ArrowLeft: audio.currentTime - 1, ArrowDown: audio.currentTime - 1,
        ArrowRight: audio.currentTime + 1, ArrowUp: audio.currentTime + 1, PageDown: audio.currentTime - 10,
        PageUp: audio.currentTime + 10, Home: 0, End: data.seconds };
      if (event.key === " " || event.key === "Enter") button.click();
      else if (event.key in targets) seek(targets[event.key]);
      else return;
      event.preventDefault();
    });
  }

  function piece(tag, name, text) {
    const element = document.createElement(tag);
    if (name) element.className = name;
    element.textContent = text;
    return element;
  }

  const number = (score) => (Math.abs(score) < 1e4 ? score.toFixed(1) : score.toPrecision(3));
  const percent = (score) => (score === null ? "not scored" : `${number(score)} %`);

  function choose(word) {
    const [start, end, score, band, decision, sounds] = data.words[word.dataset.word];
    for (const other of words) {
      other.setAttribute("aria-pressed", String(other === word));
      other.tabIndex = other === word ? 0 : -1;
    }
    const detail = find("detail");
    const told = score === null ? "not scored" : `${percent(score)}, ${band}${decision ? `; ${decision}` : ""}`;
    detail.replaceChildren(piece("bdi", "spelled", word.textContent), piece("bdi", "", told));
    if (sounds.length) {
      const list = piece("ul", "", "");
      for (const [symbol, value, level, heard] of sounds) {
        const item = piece("li", "", "");
        item.append(piece("bdi", `marked band-${level}`, symbol), value === null ? "" : ` ${number(value)}`);
        if (heard) item.append(" as ", piece("bdi", "", heard));
        list.append(item);
      }
      detail.append(list);
    }
    detail.hidden = false;
    if (audio && start !== null) play(start, end);
  }

  function setUpWords() {
    words.forEach((word, index) => {
      const [, , score, band] = data.words[word.dataset.word];
      word.setAttribute("role", "button");
      word.setAttribute("aria-pressed", "false");
      word.setAttribute("aria-label", `${word.textContent}, ${score === null ? "not scored" : `${band}, ${percent(score)}`}`);
      word.tabIndex = index === 0 ? 0 : -1; // one stop for Tab; the arrows go from word to word
    });
    const wordOf = (event) => event.target.closest(".word[role]");
    document.addEventListener("click", (event) => { if (wordOf(event)) choose(wordOf(event)); });
    document.addEventListener("keydown", (event) => {
      const word = wordOf(event);
      if (!word) return;
      const at = words.indexOf(word);
      const targets = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: words.length - 1 };
      if (event.key === "Enter" || event.key === " ") choose(word);
      else if (event.key in targets) {
        const next = words[Math.min(Math.max(targets[event.key], 0), words.length - 1)];
        word.tabIndex = -1;
        next.tabIndex = 0;
        next.focus();
      } else return;
      event.preventDefault();
    });
  }

  // "Practise first": its words become buttons where there is something to hear.
  function setUpExercises() {
    for (const place of document.querySelectorAll(".hear")) {
      const [start, end] = data.words[place.dataset.word];
      if (start === null) continue;
      const button = piece("button", "hear", "");
      button.type = "button";
      button.append(...place.childNodes);
      button.setAttribute("aria-label", `Hear ${button.textContent}`);
      button.addEventListener("click", () => play(start, end));
      place.replaceWith(button);
    }
  }

  setUpWords();
  if (audio) setUpExercises();
  if (audio) setUpPlayer();
})();
