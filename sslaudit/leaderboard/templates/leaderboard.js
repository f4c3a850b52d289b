"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const collator = new Intl.Collator("en", { numeric: true });
  const MOST = Number(byId("boards").dataset.most);

  const boards = [...document.querySelectorAll("section.board")].map((section) => ({
    section,
    heads: [...section.querySelector("thead tr").cells],
    bodies: [...section.querySelectorAll("tbody.rows")].map((body) => ({ body, rows: [...body.rows] })),
  }));
  for (const board of boards) {
    board.rows = board.bodies.flatMap(({ rows }) => rows);
    board.columns = new Map();
    board.heads.forEach((head, at) => head.dataset.key && board.columns.set(head.dataset.key, at));
    for (const row of board.rows) {
      const said = [row.cells[1], ...row.querySelectorAll("td.text")].map((cell) => cell.textContent);
      row.sought = [...said, board.section.dataset.text].join(" ").toLowerCase();
      row.words = row.dataset.words.split("|");
      row.place = row.rowIndex;
    }
  }

  const number = (row, at) => {
    const held = row.cells[at]?.dataset.v;
    return held === undefined ? null : Number(held);
  };
  /* Where a number was taken, such as a delta. */
  const place = (row, at) => {
    const where = row.cells[at]?.dataset.at;
    return where === undefined ? "" : ` (${where})`;
  };
  const text = (row, at) => row.cells[at].textContent.trim().replace(/^–$/, "") || null;

  /* Only rows that are shown are in the page, so that sorting a thousand costs what a hundred costs. */
  function show(board, most = board.most) {
    let late = 0;
    for (const { body, rows } of board.bodies) {
      const kept = rows.filter((row) => row.kept);
      const now = kept.slice(0, most);
      now.forEach((row) => row.classList.remove("late"));
      body.replaceChildren(...now);
      late += kept.length - now.length;
      const part = body.previousElementSibling?.querySelector(".part");
      if (part) part.hidden = !kept.length;
    }
    board.more.hidden = !late;
    board.more.textContent = `Show ${late.toLocaleString("en")} more rows`;
  }

  /* Rows without a value come last both ways, and rows without a rank stay below those with one. */
  function sort(board, at) {
    const head = board.heads[at];
    const turned = { ascending: "descending", descending: "ascending" }[head.getAttribute("aria-sort")];
    const order = turned || head.dataset.first;
    const sign = order === "ascending" ? 1 : -1;
    const read = head.classList.contains("text") ? text : number;
    const compare = read === text ? collator.compare : (a, b) => a - b;
    const values = new Map(board.rows.map((row) => [row, read(row, at)]));
    for (const { rows } of board.bodies) {
      rows.sort((one, other) => {
        const [a, b] = [values.get(one), values.get(other)];
        if (a === null || b === null) return (a === null) - (b === null) || one.place - other.place;
        return sign * compare(a, b) || one.place - other.place;
      });
    }
    show(board);
    board.heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", order);
  }
  for (const board of boards) {
    board.heads.forEach((head, at) => {
      const label = head.querySelector(".label");
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = label.textContent;
      button.addEventListener("click", () => sort(board, at));
      label.replaceWith(button);
    });
    board.heads[0].setAttribute("aria-sort", "ascending");
    board.most = MOST;
    board.more = Object.assign(document.createElement("button"), { type: "button", className: "more" });
    board.more.addEventListener("click", () => {
      board.most = Infinity;
      show(board);
    });
    board.section.querySelector(".scroll").after(board.more);
  }

  const total = boards.reduce((sum, board) => sum + board.rows.length, 0);
  function filter() {
    const sought = byId("text").value.toLowerCase().split(/\s+/).filter(Boolean);
    const [suite, status] = [byId("suite").value, byId("status").value];
    let left = 0;
    for (const board of boards) {
      const here = !suite || board.section.dataset.suite === suite;
      for (const row of board.rows) {
        const matches = (!status || row.words.includes(status)) && sought.every((word) => row.sought.includes(word));
        row.kept = here && matches;
        left += row.kept;
      }
      board.section.hidden = !board.rows.some((row) => row.kept);
      show(board);
    }
    for (const part of document.querySelectorAll("section.suite")) {
      part.hidden = !part.querySelector("section.board:not([hidden])");
    }
    byId("count").textContent = `${left.toLocaleString("en")} of ${total.toLocaleString("en")} encoders shown`;
    draw();
  }

  const name = "http://www.w3.org/2000/svg";
  function made(tag, attributes = {}, ...children) {
    const node = document.createElementNS(name, tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }
  const SHAPES = [
    "M5 0A5 5 0 1 1-5 0A5 5 0 1 1 5 0Z", "M-4.5-4.5H4.5V4.5H-4.5Z", "M0-6L5.5 4.5H-5.5Z", "M0-6.5L6 0L0 6.5L-6 0Z",
    "M0 6L5.5-4.5H-5.5Z", "M-2-6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z", "M-6 1L-3-5H3L6 1L0 6Z",
  ];
  const COLOURS = 8, GROUPS = 20;
  const UNEVEN = new Set(["parameters", "images a second", "input pixels", "dimension"]);
  const DIRECTION = { higher: "higher is better", lower: "lower is better", none: "" };
  const shown = (value) => {
    const size = Math.abs(value);
    if (size >= 1e6) return `${+(value / 1e6).toPrecision(3)} M`;
    if (size >= 1e4) return `${+(value / 1e3).toPrecision(3)} k`;
    return value === 0 || size >= 1e-3 ? String(+value.toPrecision(4)) : value.toExponential(1);
  };

  function axis(values, uneven) {
    let [low, high] = [Math.min(...values), Math.max(...values)];
    if (uneven && low > 0 && high / low > 20) {
      const ticks = [];
      for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) ticks.push(10 ** power);
      const [from, to] = [Math.log(ticks[0]), Math.log(ticks[ticks.length - 1])];
      return { ticks, at: (value) => (Math.log(value) - from) / (to - from), log: true };
    }
    if (low === high) [low, high] = [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2];
    const rough = (high - low) / 5;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find((size) => size * power >= rough) * power;
    const [first, last] = [Math.floor(low / step), Math.ceil(high / step)];
    const ticks = Array.from({ length: last - first + 1 }, (_, i) => +((first + i) * step).toPrecision(12));
    return { ticks, at: (value) => (value / step - first) / (last - first) };
  }

  const labels = new Map();
  for (const board of boards) {
    board.heads.forEach((head) => {
      const { key, better } = head.dataset;
      const label = head.querySelector("button").textContent;
      if (key && !labels.has(key)) labels.set(key, { label, better, title: label === key ? label : `${label} (${key})` });
    });
  }
  const option = (value, label) => Object.assign(document.createElement("option"), { value, textContent: label });
  const keys = [...labels.keys()];
  const lead = (board) => board.section.querySelector("thead .lead")?.dataset.key;
  function setUp() {
    for (const id of ["x", "y"]) byId(id).append(...keys.map((key) => option(key, labels.get(key).title)));
    byId("of").append(...boards.map((board, at) => option(at, board.section.dataset.short)));
    if (boards.length > 1) byId("of").append(option("", "all boards"));
    const largest = boards.reduce((best, board, at) => (board.rows.length > boards[best].rows.length ? at : best), 0);
    byId("of").value = largest;
    byId("y").value = lead(boards[largest]) || keys[0];
    const other = boards[largest].heads.find((head) => head.dataset.better === "lower" && head.dataset.key);
    byId("x").value = other ? other.dataset.key : "parameters";
  }

  function collect(x, y) {
    const found = [];
    const chosen = byId("of").value === "" ? boards : [boards[Number(byId("of").value)]];
    for (const board of chosen) {
      const [across, up] = [board.columns.get(x), board.columns.get(y)];
      for (const row of board.rows) {
        if (!row.kept) continue;
        const group = byId("by").value === "board" ? board.section.dataset.short : row.dataset.method || "no method given";
        found.push({ row, x: number(row, across), y: number(row, up), at: [place(row, across), place(row, up)], group, ranked: row.words[0] === "ranked" });
      }
    }
    return found;
  }

  /* A board that the filters leave empty gives way to the one with the most rows. */
  function follow() {
    const left = boards.map((board) => board.rows.filter((row) => row.kept).length);
    const most = Math.max(...left);
    if (byId("of").value !== "" && most && !left[Number(byId("of").value)]) byId("of").value = left.indexOf(most);
  }

  function draw() {
    follow();
    const [x, y] = [byId("x").value, byId("y").value];
    const all = collect(x, y);
    const points = all.filter((point) => point.x !== null && point.y !== null).sort((a, b) => a.x - b.x || a.y - b.y);
    hide();
    const missing = all.length - points.length;
    byId("plotted").textContent = `${points.length.toLocaleString("en")} ${points.length === 1 ? "encoder" : "encoders"}`
      + (missing ? `, ${missing.toLocaleString("en")} without one of the two numbers left out` : "")
      + ". Point at one for its name, or go there with Tab and the arrow keys. Hollow: not ranked.";
    byId("legend").replaceChildren();
    byId("plot").replaceChildren(...(points.length ? [picture(points, labels.get(x), labels.get(y), x, y)] : []));
  }

  function picture(points, across, up, x, y) {
    const width = Math.max(280, byId("plot").clientWidth), height = Math.min(520, Math.max(320, width * 0.6));
    const horizontal = axis(points.map((point) => point.x), UNEVEN.has(x));
    const vertical = axis(points.map((point) => point.y), UNEVEN.has(y));
    const left = 24 + 8 * Math.max(...vertical.ticks.map((tick) => shown(tick).length)), top = 28, right = 16, bottom = 46;
    const px = (value) => left + horizontal.at(value) * (width - left - right);
    const py = (value) => height - bottom - vertical.at(value) * (height - top - bottom);
    const svg = made("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group" });
    const note = (axis, one) => [one.title, DIRECTION[one.better], axis.log ? "logarithmic" : ""].filter(Boolean).join(", ");
    svg.setAttribute("aria-label", `${note(vertical, up)}, against ${note(horizontal, across)}`);
    const every = Math.ceil((horizontal.ticks.length * 52) / (width - left - right));
    horizontal.ticks.forEach((tick, i) => {
      svg.append(made("path", { class: "grid", d: `M${px(tick)} ${top}V${height - bottom}` }));
      if (i % every === 0) svg.append(made("text", { x: px(tick), y: height - bottom + 16, "text-anchor": "middle" }, shown(tick)));
    });
    for (const tick of vertical.ticks) {
      svg.append(made("path", { class: "grid", d: `M${left} ${py(tick)}H${width - right}` }));
      svg.append(made("text", { x: left - 6, y: py(tick) + 4, "text-anchor": "end" }, shown(tick)));
    }
    const fitted = (words) => (words.length * 6.6 > width ? `${words.slice(0, Math.floor(width / 6.6) - 1)}…` : words);
    svg.append(made("text", { class: "axis", x: 0, y: 14 }, fitted(`↑ ${note(vertical, up)}`)));
    svg.append(made("text", { class: "axis", x: width - right, y: height - 8, "text-anchor": "end" }, fitted(`${note(horizontal, across)} →`)));
    const styles = grouped(points), size = points.length > 300 ? 0.7 : 1;
    points.forEach((point, i) => {
      const { colour, shape } = styles.get(point.group) || { colour: COLOURS - 2, shape: 0 };
      const title = point.row.querySelector("th bdi").textContent;
      const said = `${across.label} ${shown(point.x)}${point.at[0]}, ${up.label} ${shown(point.y)}${point.at[1]}`;
      const node = made("path", { class: `point${point.ranked ? "" : " hollow"}`, d: SHAPES[shape], role: "img", tabindex: i ? -1 : 0,
        transform: `translate(${px(point.x).toFixed(1)} ${py(point.y).toFixed(1)}) scale(${size})`, style: `--c: var(--c${colour})`,
        "aria-label": [title, ...(point.ranked ? [] : point.row.words), said].join(", ") });
      node.about = { title, said: [point.row.dataset.method, ...point.row.words.filter((word) => word !== "ranked")].filter(Boolean).join(", "), numbers: said };
      svg.append(node);
    });
    return svg;
  }

  function grouped(points) {
    const sizes = new Map();
    for (const { group } of points) sizes.set(group, (sizes.get(group) || 0) + 1);
    const names = [...sizes.keys()].sort(collator.compare);
    const kept = names.length <= GROUPS ? names : names.sort((a, b) => sizes.get(b) - sizes.get(a)).slice(0, GROUPS);
    const styles = new Map(kept.map((group, i) => [group, { colour: i % COLOURS, shape: i % SHAPES.length }]));
    const line = (label, { colour, shape }) => {
      const item = document.createElement("li");
      const mark = made("path", { class: "point", d: SHAPES[shape], transform: "translate(7 7)", style: `--c: var(--c${colour})` });
      const said = Object.assign(document.createElement("bdi"), { textContent: label });
      item.append(made("svg", { width: 14, height: 14, "aria-hidden": "true" }, mark), said);
      return item;
    };
    byId("legend").replaceChildren(...kept.map((group) => line(group, styles.get(group))));
    if (kept.length < sizes.size) byId("legend").append(line(`${sizes.size - kept.length} others`, { colour: COLOURS - 2, shape: 0 }));
    return styles;
  }

  const tip = byId("tip"), plot = byId("plot");
  function hide() {
    tip.hidden = true;
    plot.querySelector(".point.at")?.classList.remove("at");
  }
  function tell(point) {
    hide();
    point.classList.add("at");
    const title = Object.assign(document.createElement("bdi"), { textContent: point.about.title });
    tip.replaceChildren(title, ...[point.about.said, point.about.numbers].filter(Boolean).map((said) =>
      Object.assign(document.createElement("div"), { textContent: said })));
    tip.hidden = false;
    const [at, frame] = [point.getBoundingClientRect(), tip.parentElement.getBoundingClientRect()];
    const left = Math.min(at.right - frame.left + 6, frame.width - tip.offsetWidth);
    tip.style.left = `${Math.max(0, left)}px`;
    tip.style.top = `${at.top - frame.top - tip.offsetHeight - 6}px`;
  }
  plot.addEventListener("pointerover", (event) => event.target.closest(".point") && tell(event.target));
  plot.addEventListener("pointerout", hide);
  plot.addEventListener("focusin", (event) => event.target.closest(".point") && tell(event.target));
  plot.addEventListener("focusout", hide);
  plot.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
    const points = [...plot.querySelectorAll(".point")], at = points.indexOf(event.target);
    const to = { ArrowRight: at + 1, ArrowUp: at + 1, ArrowLeft: at - 1, ArrowDown: at - 1, Home: 0, End: points.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    const next = points[Math.min(points.length - 1, Math.max(0, to))];
    event.target.setAttribute("tabindex", -1);
    next.setAttribute("tabindex", 0);
    next.focus();
  });

  for (const form of document.querySelectorAll("form")) form.addEventListener("submit", (event) => event.preventDefault());
  for (const id of ["text", "suite", "status"]) byId(id).addEventListener("input", filter);
  for (const id of ["x", "y", "of", "by"]) byId(id).addEventListener("input", draw);
  byId("all").addEventListener("input", (event) => document.documentElement.classList.toggle("every", event.target.checked));
  addEventListener("beforeprint", () => boards.forEach((board) => show(board, Infinity)));
  addEventListener("afterprint", () => boards.forEach((board) => show(board)));
  setUp();
  filter();
  let drawn = plot.clientWidth;
  new ResizeObserver(() => {
    if (plot.clientWidth !== drawn) { drawn = plot.clientWidth; draw(); }
  }).observe(plot);
})();
