"use strict";
// Everything shown is set as text, never as HTML: answers are not to be trusted.
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const ROW = 28;
const FAILED = -1;
const CONTROL = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
const visible = (text) => String(text).replace(CONTROL,
  (c) => c.charCodeAt(0) < 256 ? "\\x" + c.charCodeAt(0).toString(16).padStart(2, "0")
    : "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties || {});
  made.append(...children);
  return made;
}

// --- sortable tables -------------------------------------------------------------------------
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = (row) => row.cells[column].dataset.key;
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
      const order = x !== "" && y !== "" && !isNaN(x) && !isNaN(y) ? x - y : x.localeCompare(y);
      return up ? order : -order;
    });
    table.tBodies[0].append(...rows);
  }));
}

// --- which samples are listed ----------------------------------------------------------------
const places = data.groups.map((group) => new Map(group.samples.map((id, place) => [id, place])));
const state = { run: 0, sample: null, page: 0, listed: [], zoomed: false };

function baseOf(run) { return run.base < 0 ? null : data.runs[run.base]; }

function baseScore(run, place) {
  const base = baseOf(run);
  if (!base) return null;
  const other = base.group === run.group ? place : places[base.group].get(sampleId(run, place));
  return other === undefined ? null : base.scores[other];
}

function sampleId(run, place) { return data.groups[run.group].samples[place]; }

function flip(run, place) {
  const [now, before] = [run.scores[place], baseScore(run, place)];
  if (now === null || before === null || now === FAILED || before === FAILED) return "";
  const limit = Number($("threshold").value);
  if ((now >= limit) === (before >= limit)) return "";
  return now >= limit ? "gained" : "lost";
}

function wanted(run, place) {
  const flags = Number(run.flags[place]);
  const [what, kind] = $("filter").value.split("-");
  if (what === "kind") return run.kinds[place] === kind;
  switch ($("filter").value) {
    case "flipped": return flip(run, place) !== "";
    case "lost": case "gained": return flip(run, place) === $("filter").value;
    case "changed": { const before = baseScore(run, place); return before !== null && before !== run.scores[place]; }
    case "missed": return (flags & 1) > 0;
    case "truncated": return (flags & 2) > 0;
    case "failed": return run.scores[place] === FAILED;
    case "pages": return data.groups[run.group].drawn[place] === "1";
    default: return run.scores[place] !== null;
  }
}

function relist() {
  const run = data.runs[state.run];
  const search = $("search").value.trim().toLowerCase();
  state.listed = [];
  data.groups[run.group].samples.forEach((id, place) => {
    if (run.scores[place] !== null && wanted(run, place) && id.toLowerCase().includes(search)) state.listed.push(place);
  });
  $("count").textContent = `${state.listed.length} of ${run.scores.filter((s) => s !== null).length} samples`;
  $("spacer").style.height = `${state.listed.length * ROW}px`;
  $("list").scrollTop = 0;
  if (!state.listed.includes(state.sample)) state.sample = state.listed.length ? state.listed[0] : null;
  paintList();
  open();
}

// Only the rows in sight are in the document, so the list may be as long as it likes.
function paintList() {
  const list = $("list");
  const run = data.runs[state.run];
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 5);
  const last = Math.min(state.listed.length, first + Math.ceil(list.clientHeight / ROW) + 10);
  list.querySelectorAll(".row").forEach((row) => row.remove());
  for (let index = first; index < last; index++) {
    const place = state.listed[index];
    const change = flip(run, place);
    const row = element("div", { className: "row" + (place === state.sample ? " chosen" : "") },
      element("span", { className: "id", textContent: visible(sampleId(run, place)) }),
      element("span", { className: `mark ${change}`, textContent: change === "lost" ? "▼ lost" : change === "gained" ? "▲ gained" : "" }),
      element("span", { textContent: score(run.scores[place]) }));
    row.style.top = `${index * ROW}px`;
    row.setAttribute("role", "option");
    row.addEventListener("click", () => choose(place));
    list.append(row);
  }
}

function score(value) { return value === null ? "-" : value === FAILED ? "failed" : value.toFixed(3); }

function choose(place) {
  state.sample = place;
  state.page = 0;
  paintList();
  open();
}

// --- one sample ------------------------------------------------------------------------------
async function unpack(id) {
  const block = $(id);
  if (!block) return null;
  const bytes = Uint8Array.from(atob(block.textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

let opened = 0;
async function open() {
  const turn = ++opened;
  const [run, detail, place] = [data.runs[state.run], $("detail"), state.sample];
  if (place === null) {
    detail.replaceChildren(element("p", { className: "soft", textContent: "No sample matches." }));
    return;
  }
  const base = baseOf(run);
  const block = await unpack(`s${run.group}-${place}`);
  const other = base && base.group !== run.group
    ? places[base.group].get(sampleId(run, place)) : place;
  const baseBlock = !base ? null : base.group === run.group ? block
    : other === undefined ? null : await unpack(`s${base.group}-${other}`);
  if (turn !== opened) return;  // another sample was chosen meanwhile
  history.replaceState(null, "", `#run=${encodeURIComponent(run.id)}&sample=${encodeURIComponent(sampleId(run, place))}`);
  const mine = block.runs[state.run];
  const theirs = baseBlock ? baseBlock.runs[run.base] : null;
  detail.replaceChildren(
    element("h3", { textContent: visible(sampleId(run, place)) }),
    ...labelled("question", block.question === null ? "not available: the data is not on the machine that made this report" : block.question),
    ...labelled("expected", block.expected),
    element("div", { className: "answers" },
      ...(base ? [answer(`baseline: ${visible(base.title)}`, theirs, block.expected, baseScore(run, place))] : []),
      answer(visible(run.title), mine, block.expected, run.scores[place])),
    element("p", { className: "soft" },
      element("span", { className: "missing", textContent: "expected, not answered" }), " ",
      element("span", { className: "extra", textContent: "answered, not expected" })),
    await pages(run, block, mine));
}

function labelled(title, text) {
  return [element("div", { className: "soft", textContent: title }),
    element("div", { className: "text", textContent: visible(text) })];
}

function answer(title, found, expected, value) {
  const box = element("div", {}, element("h3", { textContent: title }));
  if (!found) { box.append(element("p", { className: "soft", textContent: "no record of this sample" })); return box; }
  const text = element("div", { className: "text" });
  if (found.error !== null) text.textContent = `failed: ${visible(found.error)}`;
  else diff(visible(expected), visible(found.answer || ""), text);
  const facts = element("dl");
  for (const [name, shown] of [["score", score(value)], ...found.facts]) {
    facts.append(element("dt", { textContent: name }), element("dd", { textContent: visible(shown) }));
  }
  box.append(text, facts);
  return box;
}

// Longest common subsequence, by characters; of long texts by words, of huge ones without a diff.
function diff(expected, given, target) {
  const split = expected.length * given.length > 4e6 ? /(\s+)/ : "";
  const [a, b] = [expected.split(split), given.split(split)];
  if (a.length * b.length > 4e6) { target.textContent = given; return; }
  const width = b.length + 1;
  const best = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      best[i * width + j] = a[i] === b[j] ? best[(i + 1) * width + j + 1] + 1
        : Math.max(best[(i + 1) * width + j], best[i * width + j + 1]);
    }
  }
  const parts = [];
  const add = (kind, piece) => {
    const last = parts[parts.length - 1];
    if (last && last[0] === kind) last[1] += piece; else parts.push([kind, piece]);
  };
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) { add("", a[i]); i++; j++; }
    else if (j >= b.length || (i < a.length && best[(i + 1) * width + j] >= best[i * width + j + 1])) add("missing", a[i++]);
    else add("extra", b[j++]);
  }
  target.append(...parts.map(([kind, piece]) => kind ? element("span", { className: kind, textContent: piece }) : piece));
}

// --- pages -----------------------------------------------------------------------------------
function picture(number) {
  const image = new Image();
  image.src = `data:image/png;base64,${$(`i${number}`).textContent}`;
  return image.decode().then(() => image);
}

async function pages(run, block, mine) {
  if (!block.before) {
    return element("p", { className: "soft", textContent: "Pages: not shown for this sample (see “What to know”)." });
  }
  const after = run.codec === -1 ? null : block.after[run.codec];
  const place = Math.min(state.page, block.before.length - 1);
  const whole = mine && mine.pages;
  const choice = element("div", { className: "choice" }, `pages (${block.before.length} of ${whole || "?"}): `);
  block.before.forEach((_, number) => {
    const button = element("button", { type: "button", textContent: number + 1 });
    button.setAttribute("aria-pressed", number === place);
    button.addEventListener("click", () => { state.page = number; open(); });
    choice.append(button);
  });
  const grid = element("div", { className: "pages" });
  const before = await picture(block.before[place]);
  grid.append(drawn("page", before));
  if (run.codec === -2) grid.append(element("p", { className: "soft", textContent: "The page after the codec could not be made here." }));
  else if (after) {
    const second = await picture(after[place]);
    grid.append(drawn("page after the codec", second));
    grid.append(residual(before, second));
  }
  if (run.tokens) grid.append(kept(after ? await picture(after[place]) : before, mine && mine.kept, place));
  return element("div", {}, choice, grid);
}

function drawn(title, image) {
  const canvas = element("canvas", { width: image.naturalWidth, height: image.naturalHeight });
  canvas.getContext("2d").drawImage(image, 0, 0);
  return element("figure", {}, canvas, element("figcaption", { textContent: title }));
}

function pixels(image) {
  const canvas = element("canvas", { width: image.naturalWidth, height: image.naturalHeight });
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

function residual(before, after) {
  if (before.naturalWidth !== after.naturalWidth || before.naturalHeight !== after.naturalHeight) {
    return element("p", { className: "soft", textContent: `No residual: the codec made ${after.naturalWidth} × ${after.naturalHeight} pixels of ${before.naturalWidth} × ${before.naturalHeight}.` });
  }
  const [a, b] = [pixels(before), pixels(after)];
  let largest = 0;
  for (let k = 0; k < a.data.length; k += 4) {
    for (let channel = 0; channel < 3; channel++) {
      const difference = Math.abs(a.data[k + channel] - b.data[k + channel]);
      largest = Math.max(largest, difference);
      a.data[k + channel] = 255 - Math.min(255, 5 * difference);
    }
  }
  const canvas = element("canvas", { width: a.width, height: a.height });
  canvas.getContext("2d").putImageData(a, 0, 0);
  return element("figure", {}, canvas, element("figcaption", { textContent: `residual × 5 (darker is larger; largest difference ${largest} of 255)` }));
}

// kept: pages parted by spaces, each "rows x columns : bits in hex", raster order, first bit highest.
function kept(image, record, place) {
  const page = record ? record.split(" ")[place] : null;
  const parsed = page ? /^(\d+)x(\d+):([0-9a-f]+)$/.exec(page) : null;
  if (!parsed || parsed[3].length !== Math.ceil(parsed[1] * parsed[2] / 4)) {
    return element("p", { className: "soft", textContent: "Kept tokens: not recorded." });
  }
  const figure = drawn("", image);
  const context = figure.firstElementChild.getContext("2d");
  const [rows, columns] = [Number(parsed[1]), Number(parsed[2])];
  const [width, height] = [image.naturalWidth / columns, image.naturalHeight / rows];
  let count = 0;
  for (let position = 0; position < rows * columns; position++) {
    if (parseInt(parsed[3][position >> 2], 16) >> (3 - position % 4) & 1) { count++; continue; }
    const [x, y] = [position % columns * width, Math.floor(position / columns) * height];
    context.fillStyle = "rgba(0, 114, 178, 0.45)";
    context.fillRect(x, y, width, height);
    context.strokeStyle = "rgba(0, 60, 100, 0.8)";
    context.beginPath();
    context.moveTo(x, y + height);
    context.lineTo(x + width, y);
    context.stroke();
  }
  figure.dataset.kept = count;
  figure.lastElementChild.textContent = `kept tokens: ${count} of ${rows * columns} (struck out: dropped)`;
  return figure;
}

// --- controls --------------------------------------------------------------------------------
data.groups.forEach((group, number) => {
  const options = element("optgroup", { label: group.title });
  data.runs.forEach((run, index) => {
    if (run.group === number) options.append(element("option", { value: index, textContent: `${visible(run.title)} · ${visible(run.id).slice(0, 8)}` }));
  });
  $("run").append(options);
});

function chooseRun(index) {
  state.run = index;
  $("run").value = index;
  relist();
}

$("run").addEventListener("change", () => chooseRun(Number($("run").value)));
for (const id of ["filter", "threshold", "search"]) $(id).addEventListener("input", relist);
$("list").addEventListener("scroll", paintList);
new ResizeObserver(paintList).observe($("list"));
$("list").addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const next = state.listed.indexOf(state.sample) + step;
  if (next < 0 || next >= state.listed.length) return;
  if (next * ROW < $("list").scrollTop) $("list").scrollTop = next * ROW;
  if ((next + 1) * ROW > $("list").scrollTop + $("list").clientHeight) $("list").scrollTop = (next + 1) * ROW - $("list").clientHeight;
  choose(state.listed[next]);
});
for (const button of document.querySelectorAll("button.run")) {
  button.addEventListener("click", () => {
    chooseRun(Number(button.dataset.run));
    $("samples").scrollIntoView();
  });
}

// A link to one sample: ...report.html#run=<id>&sample=<id>. Without one: the first compressed run.
const link = new URLSearchParams(location.hash.slice(1));
const linked = data.runs.findIndex((run) => run.id === link.get("run"));
const compressed = data.runs.findIndex((run) => run.base >= 0);
if (linked >= 0) {
  const place = places[data.runs[linked].group].get(link.get("sample"));
  state.sample = place === undefined ? null : place;
}
if (data.runs.length) chooseRun(linked >= 0 ? linked : Math.max(0, compressed));
if (linked >= 0) $("samples").scrollIntoView();
