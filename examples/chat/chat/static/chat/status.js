"use strict";
// The status: each message of the socket holds all numbers, so a lost one is made good by the next.

const beat = Number(document.body.dataset.beat);
const every = Number(document.body.dataset.every);
const span = Number(document.body.dataset.span);

// A process renews its record every 30 seconds, and a wait for messages takes five. After 90 the record expires.
const SILENT = 40;

// ---- The numbers.

let numbers;
let numbersAt = performance.now();

function receive(content) {
  numbers = content;
  numbersAt = performance.now();
  showTrouble();
  showFigures();
  showChart();
  for (const [id, columns] of Object.entries(TABLES)) {
    showTable(id, numbers[id].map(row => columns.map(([, cell]) => cell(row))));
    showCount(id, numbers[id].length, numbers.counts[id] || numbers[id].length);
  }
  const whole = numbers.is_whole ? "" : " A server has so many keys that only some were looked at.";
  byId("read").textContent = `asgi_redis ${numbers.release}, read at ${clock(numbers.time, "2-digit")}.${whole}`;
}

const number = value => value.toLocaleString();
const rate = value => value === null ? "–" : value.toLocaleString(undefined, {maximumFractionDigits: 1});
const seconds = value => age(Math.max(value, 0));

function age(value) {
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (value >= 2 * size) return `${Math.floor(value / size)} ${unit}`;
  }
  return `${Math.round(value)} s`;
}

function clock(time, second) {
  return new Date(time * 1000).toLocaleTimeString([], {hour: "2-digit", minute: "2-digit", second});
}

function since(time) {
  const date = new Date(time * 1000);
  const today = date.toDateString() === new Date().toDateString();
  return `${today ? "" : `${date.toLocaleDateString()} `}${clock(time)}`;
}

const isUp = shard => !shard.error;
const isSilent = process => numbers.time - process.seen > SILENT;

function showFigures() {
  const [, toWorkers, toBrowsers] = numbers.throughput;
  const last = toWorkers.length - 1;
  const alive = numbers.processes.filter(process => !isSilent(process)).length;
  const up = numbers.shards.filter(isUp).length;
  byId("rate").textContent = toWorkers[last] === null ? "–" : rate(toWorkers[last] + toBrowsers[last]);
  byId("waiting").textContent = number(numbers.waiting);
  byId("alive").textContent = number(numbers.counts.processes - numbers.processes.length + alive);
  byId("up").textContent = `${up} of ${numbers.shards.length}`;
  byId("up").classList.toggle("bad", up < numbers.shards.length);
}

// ---- The tables. A column is its title, what its cell shows, and whether that is a number. A cell is a text, or {text,
// bad, good, part: how full it is, from 0 to 1}.

const TABLES = {
  processes: [
    ["Host", process => ({text: process.host, good: !isSilent(process), bad: isSilent(process)})],
    ["Process", process => String(process.process), true],
    ["Release", process => process.release],
    ["Since", process => `${since(process.since)} (${seconds(numbers.time - process.since)})`],
    ["Last seen", process => ({text: `${seconds(numbers.time - process.seen)} ago`, bad: isSilent(process)})],
    ["Reads", process => process.channels.join(", ")],
  ],
  channels: [
    ["Channel", channel => channel.channel],
    ["Waiting", channel => {
      const part = Math.min(channel.waiting / Math.max(channel.capacity, 1), 1);
      return {text: `${number(channel.waiting)} of ${number(channel.capacity)}`, part, bad: part >= 0.8};
    }],
    ["Oldest", channel => channel.waiting ? seconds(channel.oldest) : "–", true],
    ["Sent", channel => number(channel.sent), true],
    ["A second", channel => rate(channel.rate), true],
    ["Full", channel => ({text: number(channel.full), bad: channel.full > 0}), true],
    ["Dropped", channel => ({text: number(channel.dropped), bad: channel.dropped > 0}), true],
  ],
  shards: [
    ["Address", shard => ({text: shard.address, good: isUp(shard), bad: !isUp(shard)})],
    ["State", shard => isUp(shard) ? "up" : {text: "down", bad: true}],
    ["Waiting", shard => isUp(shard) ? number(shard.waiting) : "–", true],
    ["Sent", shard => isUp(shard) ? number(shard.sent) : "–", true],
    ["Share", shard => {
      const part = (shard.sent || 0) / Math.max(sentInAll(), 1);
      return {text: `${Math.round(100 * part)} %`, part};
    }],
    ["Groups", shard => isUp(shard) ? number(shard.groups) : "–", true],
  ],
  groups: [
    ["Group", group => group.group],
    ["Members", group => number(group.members), true],
  ],
};

const sentInAll = () => numbers.shards.reduce((sum, shard) => sum + (shard.sent || 0), 0);

for (const [id, columns] of Object.entries(TABLES)) {
  const row = byId(id).tHead.insertRow();
  row.setAttribute("role", "row");
  for (const [title, , isNumber] of columns) {
    const cell = document.createElement("th");
    cell.setAttribute("role", "columnheader");
    cell.classList.toggle("number", Boolean(isNumber));
    cell.textContent = title;
    row.append(cell);
  }
}

// What did not change is left alone: somebody may just be selecting it.
function showTable(id, rows) {
  const body = byId(id).tBodies[0];
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach((cells, at) => {
    const row = body.rows[at] || addRow(body, TABLES[id]);
    cells.forEach((cell, column) => showCell(row.cells[column], cell.text === undefined ? {text: cell} : cell));
  });
}

function addRow(body, columns) {
  const row = body.insertRow();
  row.setAttribute("role", "row");
  for (const [title, , isNumber] of columns) {
    const cell = row.insertCell();
    cell.setAttribute("role", "cell");
    cell.classList.toggle("number", Boolean(isNumber));
    cell.dataset.label = title;
  }
  return row;
}

// Always by textContent: names of channels and groups are other people's.
function showCell(target, {text, bad, good, part}) {
  if (target.textContent !== text) target.textContent = text;
  target.classList.toggle("bad", Boolean(bad));
  target.classList.toggle("good", Boolean(good));
  if (part !== undefined) {
    target.classList.add("part");
    target.style.setProperty("--part", part);
  }
}

function showCount(id, shown, all) {
  byId(`${id}-title`).querySelector("span").textContent = all;
  byId(id).parentElement.querySelector(".more").textContent = all > shown ? `and ${number(all - shown)} more` : "";
  byId(id).hidden = all === 0;
}

// ---- The chart.

let chart;

function showChart() {
  if (chart) chart.setData(numbers.throughput);
  else drawChart();
  // Where nobody points at it, the legend has the newest.
  if (chart.cursor.left < 0) chart.setLegend({idx: numbers.throughput[0].length - 1});
}

function drawChart() {
  if (chart) chart.destroy();
  const style = getComputedStyle(document.body);
  const colour = name => style.getPropertyValue(name).trim();
  const ago = value => value === null ? "–" : value === 0 ? "now" : `${age(-value)} ago`;
  const line = (label, name) => ({
    label, stroke: colour(name), fill: `${colour(name)}1f`, width: 2, points: {show: false}, value: (_, value) => rate(value ?? null),
  });
  const axis = {
    stroke: colour("--quiet"), font: `12px ${style.fontFamily}`, ticks: {show: false},
    grid: {stroke: colour("--line"), width: 1},
  };
  chart = new uPlot({
    width: byId("chart").clientWidth,
    height: 200,
    scales: {
      x: {time: false, range: [-span, 0]},
      y: {range: (_, least, most) => [0, Math.max(5, (most || 0) * 1.1)]},
    },
    axes: [
      {
        ...axis, size: 28, splits: Array.from({length: 6}, (_, step) => (step / 5 - 1) * span),
        values: (_, splits) => splits.map(split => split === 0 ? "now" : `−${Math.round(-split / 60)} min`),
      },
      {...axis, size: 44, space: 40},
    ],
    series: [{label: "When", value: (_, value) => ago(value)}, line("To workers", "--accent"), line("To browsers", "--second")],
    cursor: {y: false, drag: {x: false, y: false}},
  }, numbers.throughput, byId("chart"));
}

new ResizeObserver(([{contentRect}]) => {
  if (chart) chart.setSize({width: contentRect.width, height: 200});
}).observe(byId("chart"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (chart) drawChart(); });

// ---- What is wrong. While Redis is gone, Daphne closes sockets and answers 503: so a page is asked for.

let answer = "";

function showTrouble() {
  const isLost = byId("state").dataset.state !== "connected";
  const isLate = performance.now() - numbersAt > 6000 * every;
  const last = numbers ? `since ${clock(numbers.time, "2-digit")}` : "yet";
  let text = "";
  if (isLost && answer) text = answer;
  else if (isLate) text = `No numbers ${last}: a Redis server is unavailable, or chat.status is not running.`;
  else if (numbers) text = shardsDown();
  if (byId("trouble").textContent !== text) byId("trouble").textContent = text;
  byId("trouble").hidden = !text;
  document.body.classList.toggle("old", isLate);
}

function shardsDown() {
  const {length} = numbers.shards;
  return numbers.shards.flatMap((shard, at) => isUp(shard) ? [] : `Shard ${at + 1} of ${length} is unavailable: ${shard.error}`).join("\n");
}

async function ask() {
  try {
    const {status} = await fetch(location.pathname, {method: "HEAD", cache: "no-store", signal: AbortSignal.timeout(5000)});
    if (status === 503) answer = "Redis is unavailable: the site answers 503.";
    else answer = status === 200 ? "" : `The site answers ${status}.`;
  } catch (error) {
    answer = error.name === "TimeoutError" ? "The site does not answer: its workers are gone or busy." : "The site can't be reached.";
  }
  showTrouble();
}

function look() {
  if (!document.hidden) send({look: true});
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) numbersAt = performance.now();
  look();
});
connect(() => "/ws-status/", {
  opened: () => {
    answer = "";
    numbersAt = performance.now();
    showTrouble();
  },
  received: receive,
  lost: ask,
});
setInterval(look, beat * 1000);
setInterval(showTrouble, 1000);
