"use strict";
// A WebSocket that comes back by itself, and #state, which says how it is.

const byId = id => document.getElementById(id);

let socket;

// path: a function, for what it returns may have changed by the next time.
function connect(path, {opened, received, lost = () => {}}) {
  let tries = 0;
  let retry;

  function open() {
    clearTimeout(retry);
    showState("connecting", tries ? "Connecting again…" : "Connecting…");
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    socket = new WebSocket(`${scheme}//${location.host}${path()}`);
    socket.onopen = () => {
      tries = 0;
      showState("connected", "Connected");
      opened();
    };
    socket.onmessage = event => received(JSON.parse(event.data));
    socket.onclose = () => {
      // Growing pauses, each a little different: a server that comes back must not meet all browsers at once.
      const seconds = Math.min(2 ** tries++ / 2, 15) * (0.75 + Math.random() / 2);
      showState("lost", "Connection lost. Trying again…");
      retry = setTimeout(open, seconds * 1000);
      lost();
    };
  }

  window.addEventListener("online", () => { if (socket.readyState === WebSocket.CLOSED) open(); });
  open();
}

function send(content) {
  if (!socket || socket.readyState !== WebSocket.OPEN) return false;
  socket.send(JSON.stringify(content));
  return true;
}

function showState(state, text) {
  byId("state").dataset.state = state;
  byId("state").textContent = text;
}
