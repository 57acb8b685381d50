"use strict";
// A room: a log in the order of the server's numbers, and an outbox. The socket is in socket.js.

const {room, beat, start} = document.body.dataset;
let me = sessionStorage.getItem("name");

function receive({you, entries, people, at}) {
  if (you) me = you;
  entries.forEach(show);
  if (people) showPeople(people, at);
}

// ---- The outbox: one message at a time, the next when it has come back. So they stay in order whichever worker takes
// them, and none is lost with a connection. The server knows one that is sent again by its id.

const outbox = [];
let resend;

function say(text) {
  const id = Date.now().toString(36) + Math.random().toString(36).slice(2);
  const item = fill({kind: "said", name: me, text});
  item.classList.add("waiting");
  place(item, Infinity);
  toNewest();
  outbox.push({id, text, item});
  if (outbox.length === 1) sendNext();
}

function sendNext() {
  clearTimeout(resend);
  if (outbox.length && send({say: outbox[0].text, id: outbox[0].id})) resend = setTimeout(sendNext, 5000);
}

function takeFromOutbox(id) {
  if (!outbox.length || outbox[0].id !== id) return null;
  const {item} = outbox.shift();
  item.classList.remove("waiting");
  sendNext();
  return item;
}

// ---- The log.

const log = byId("log");
const scroll = byId("scroll");
const shown = new Set();
let unread = 0;

function show(entry) {
  if (shown.has(entry.at)) return;
  shown.add(entry.at);
  const follow = atNewest();
  const own = takeFromOutbox(entry.id);
  const item = own || fill(entry);
  // What counts is the server's text: it may have cut the message.
  if (own) item.querySelector(".text").textContent = entry.text;
  item.querySelector("time").replaceWith(clock(entry.at));
  place(item, entry.at);
  if (follow || own) toNewest();
  else if (entry.kind === "said") byId("newest").hidden = false;
  if (document.hidden && entry.kind === "said") document.title = `(${++unread}) #${room}`;
}

// Always by textContent: names and texts are other people's.
function element(tag, className, ...content) {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...content);
  return made;
}

function fill({kind, name, text}) {
  const item = element("li", kind);
  item.dataset.name = name;
  if (kind === "said") {
    item.classList.toggle("own", name === me);
    const who = element("b", "name", name);
    colour(who, name);
    item.append(avatar(name), element("div", "bubble", who, element("p", "text", text), element("time", "")));
  } else {
    item.append(`${name} ${kind} `, element("time", ""));
  }
  return item;
}

function clock(at) {
  const date = new Date(at);
  const time = element("time", "", date.toLocaleTimeString([], {hour: "2-digit", minute: "2-digit"}));
  time.dateTime = date.toISOString();
  time.title = date.toLocaleString();
  return time;
}

function place(item, at) {
  item.dataset.at = at;
  let before = item.isConnected ? item.previousElementSibling : log.lastElementChild;
  while (before && Number(before.dataset.at) > at) before = before.previousElementSibling;
  const next = before ? before.nextElementSibling : log.firstElementChild;
  if (next !== item) log.insertBefore(item, next);
  markFollowing(item);
  if (item.nextElementSibling) markFollowing(item.nextElementSibling);
}

// Messages of one person in a row show the name once.
function markFollowing(item) {
  const before = item.previousElementSibling;
  const same = before && before.className.startsWith("said") && before.dataset.name === item.dataset.name;
  item.classList.toggle("following", Boolean(same));
}

// The style counts scrollTop from the bottom: 0 there, and negative above.
function atNewest() {
  return scroll.scrollTop > -80;
}

function toNewest() {
  scroll.scrollTop = 0;
  byId("newest").hidden = true;
}

// ---- Who is here.

let peopleAt = 0;

function showPeople(names, at) {
  if (at < peopleAt) return;
  peopleAt = at;
  byId("count").textContent = names.length;
  byId("people").replaceChildren(...names.map(name => {
    const item = element("li", "", avatar(name), element("span", "name", name));
    if (name === me) item.append(element("small", "", "you"));
    return item;
  }));
}

function avatar(name) {
  const made = element("span", "avatar", Array.from(name)[0].toUpperCase());
  made.setAttribute("aria-hidden", "true");
  colour(made, name);
  return made;
}

// The same name has the same colour everywhere (FNV-1a).
function colour(target, name) {
  let hash = 0x811c9dc5;
  for (const char of name) hash = Math.imul(hash ^ char.codePointAt(0), 0x01000193);
  target.style.setProperty("--hue", (hash >>> 0) % 360);
}

// ---- The page.

const text = byId("text");

byId("write").addEventListener("submit", event => {
  event.preventDefault();
  if (text.value.trim()) say(text.value.trim());
  text.value = "";
  showLeft();
  text.focus();
});

function showLeft() {
  const left = text.maxLength - text.value.length;
  byId("left").textContent = left < 100 ? left : "";
}

text.addEventListener("input", showLeft);
byId("newest").addEventListener("click", toNewest);
scroll.addEventListener("scroll", () => { if (atNewest()) byId("newest").hidden = true; });
document.addEventListener("visibilitychange", () => {
  unread = 0;
  document.title = `#${room}`;
});

if (me) {
  connect(() => `/ws/${room}/?name=${encodeURIComponent(me)}`, {opened: sendNext, received: receive});
  setInterval(() => send({here: true}), beat * 1000);
} else {
  location.replace(`${start}?ask=${room}`);
}
