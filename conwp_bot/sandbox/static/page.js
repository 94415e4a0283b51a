import { appendMarked } from "./marks.js";

const MOST_CHATS = 400;
const MOST_BUBBLES = 500;
const MOST_REFUSED = 30;

const $ = (id) => document.getElementById(id);
const chats = new Map(); // receiver -> {receiver, messages, unread, row}
const asked = new URLSearchParams(location.search).get("chat");
let selected = null;
let epoch = null;
let seen = 0;

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const clockSeconds = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long", year: "numeric" });
const count = new Intl.NumberFormat();

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function pretty(receiver) {
  const turkish = /^90(\d{3})(\d{3})(\d{2})(\d{2})$/.exec(receiver);
  if (turkish) return `+90 ${turkish.slice(1).join(" ")}`;
  return /^\d+$/.test(receiver) ? `+${receiver}` : receiver || "(no receiver)";
}

function hue(receiver) {
  let sum = 0;
  for (const letter of receiver) sum = (sum * 31 + letter.charCodeAt(0)) % 8;
  return `face hue-${sum}`;
}

function masked(key) {
  return key.length <= 6 ? key : `${key.slice(0, 3)}…${key.slice(-2)}`;
}

// One tick: accepted, but the client never heard of it. Two: accepted and answered.
function ticks(message) {
  const told = message.status === 200 && !message.cut;
  const element = make("span", told ? "ticks" : "ticks doubtful", told ? "✓✓" : "✓");
  element.title = told
    ? `accepted as message ${message.message_id}, and the answer was sent`
    : `accepted as message ${message.message_id}, but the client was not told so`;
  return element;
}

function media(message) {
  const card = make("span", "media");
  card.append(make("span", "media-kind", message.type));
  const link = /^https?:\/\//i.test(message.media_url || "") ? make("a") : make("span");
  link.textContent = message.media_url || "no media_url";
  if (link.tagName === "A") {
    link.href = message.media_url;
    link.rel = "noopener noreferrer";
    link.target = "_blank";
  }
  card.append(link);
  return card;
}

function bubble(message) {
  const element = make("div", "bubble");
  if (message.media_url || message.type !== "text") element.append(media(message));
  const text = make("span", "text");
  appendMarked(text, message.text);
  const foot = make("span", "foot");
  const time = make("time", "", clock.format(message.time));
  time.dateTime = message.time.toISOString();
  time.title = message.time.toISOString();
  foot.append(time, ticks(message));
  element.append(text, foot);
  return element;
}

function appendBubble(box, message, before) {
  if (!before || day.format(before.time) !== day.format(message.time)) {
    box.append(make("div", "day", day.format(message.time)));
  }
  box.append(bubble(message));
}

function showChat(receiver) {
  selected = receiver;
  const chat = chats.get(receiver);
  $("main").classList.toggle("open", Boolean(chat));
  $("chat-head").hidden = !chat;
  $("no-chat").hidden = Boolean(chat);
  const box = $("bubbles");
  box.replaceChildren();
  for (const other of chats.values()) other.row.classList.toggle("selected", other === chat);
  if (!chat) return;
  chat.unread = 0;
  updateRow(chat);
  $("chat-face").className = hue(receiver);
  $("chat-face").textContent = receiver.slice(-2);
  $("chat-name").textContent = pretty(receiver);
  chat.messages.forEach((message, at) => appendBubble(box, message, chat.messages[at - 1]));
  updateHead(chat);
  box.scrollTop = box.scrollHeight;
}

function updateHead(chat) {
  $("chat-count").textContent = `${count.format(chat.total)} ${chat.total === 1 ? "message" : "messages"}`;
}

function newRow(chat) {
  const row = make("li", "row");
  const button = make("button", "");
  button.type = "button";
  const face = make("span", hue(chat.receiver), chat.receiver.slice(-2));
  const middle = make("span", "row-middle");
  middle.append(make("span", "row-name", pretty(chat.receiver)), make("span", "row-text"));
  const end = make("span", "row-end");
  end.append(make("time", ""), make("span", "badge"));
  button.append(face, middle, end);
  button.addEventListener("click", () => showChat(chat.receiver));
  row.append(button);
  return row;
}

function updateRow(chat) {
  const last = chat.messages.at(-1);
  const text = chat.row.querySelector(".row-text");
  text.replaceChildren(ticks(last), " ");
  appendMarked(text, (last.text || last.type).replace(/\s+/g, " ").slice(0, 120));
  chat.row.querySelector("time").textContent = clock.format(last.time);
  const badge = chat.row.querySelector(".badge");
  badge.textContent = chat.unread ? count.format(chat.unread) : "";
  badge.hidden = !chat.unread;
}

function addMessage(message) {
  let chat = chats.get(message.receiver);
  if (!chat) {
    chat = { receiver: message.receiver, messages: [], unread: 0, total: 0 };
    chat.row = newRow(chat);
    chats.set(message.receiver, chat);
  }
  const before = chat.messages.at(-1);
  chat.messages.push(message);
  chat.total += 1;
  if (chat.messages.length > MOST_BUBBLES) chat.messages.shift();
  if (selected === message.receiver) {
    const box = $("bubbles");
    const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 80;
    appendBubble(box, message, before);
    while (box.childElementCount > MOST_BUBBLES * 1.2) box.firstElementChild.remove();
    if (atEnd) box.scrollTop = box.scrollHeight;
    updateHead(chat);
  } else {
    chat.unread += 1;
  }
  return chat;
}

function addRefused(receipt) {
  const { answer } = receipt;
  const item = make("li", answer.cut ? "refusal cut" : "refusal");
  const head = make("div", "refusal-head");
  head.append(make("b", "", answer.cut ? "cut" : String(answer.status)), make("span", "", receipt.endpoint || "(no endpoint)"));
  head.append(make("time", "", clockSeconds.format(new Date(receipt.time))));
  item.append(head);
  const body = answer.body;
  const said = body && typeof body === "object" ? body.error || JSON.stringify(body) : body || "no answer was given";
  const accepted = receipt.messages.filter((message) => message.accepted).length;
  item.append(make("p", "", String(said).slice(0, 200)));
  const notes = [];
  if (receipt.fault) notes.push(`fault: ${receipt.fault}`);
  if (receipt.messages.length === 1) notes.push(pretty(receipt.messages[0].receiver));
  else if (receipt.messages.length) notes.push(`${receipt.messages.length} messages`);
  if (accepted) notes.push(`${accepted} accepted`);
  if (notes.length) item.append(make("p", "notes", notes.join(" · ")));
  $("refused").prepend(item);
  while ($("refused").childElementCount > MOST_REFUSED) $("refused").lastElementChild.remove();
}

function addReceipts(receipts) {
  const touched = new Set();
  for (const receipt of receipts) {
    if (receipt.n <= seen) continue;
    seen = receipt.n;
    const { answer } = receipt;
    if (answer.cut || answer.status !== 200 || (answer.body && answer.body.success === false)) addRefused(receipt);
    for (const said of receipt.messages) {
      if (!said.accepted) continue;
      const chat = addMessage({ ...said, time: new Date(receipt.time), status: answer.status, cut: answer.cut });
      touched.delete(chat); // the order is that of the last message
      touched.add(chat);
    }
  }
  if (!touched.size) return;
  for (const chat of touched) {
    updateRow(chat);
    $("chats").prepend(chat.row);
  }
  // The quietest chats leave; their receipts stay.
  while ($("chats").childElementCount > MOST_CHATS) {
    const last = $("chats").lastElementChild;
    for (const chat of chats.values()) if (chat.row === last) chats.delete(chat.receiver);
    last.remove();
  }
  $("no-chats").hidden = true;
  search();
  if (selected === null && window.innerWidth > 720) showChat(chats.has(asked) ? asked : [...touched].at(-1).receiver);
}

function showState(state) {
  for (const name of ["requests", "messages", "refused", "cut"]) {
    $(`count-${name}`).textContent = count.format(state.counts[name]);
  }
  $("limit-title").textContent = `Limit: ${state.limit.text}, ${state.window} window`;
  const meters = state.accounts.map((account) => {
    const meter = make("div", "meter");
    const line = make("div", "meter-line");
    line.append(make("span", "key", masked(account.key)));
    line.append(make("span", "", `${count.format(account.used)} / ${count.format(state.limit.count)}`));
    const bar = make("progress", account.used >= state.limit.count ? "full" : "");
    bar.max = state.limit.count;
    bar.value = Math.min(account.used, state.limit.count);
    meter.append(line, bar);
    if (account.used >= state.limit.count) {
      meter.append(make("p", "notes", `full until ${clockSeconds.format(new Date(account.frees_at))}`));
    }
    return meter;
  });
  $("meters").replaceChildren(...(meters.length ? meters : [make("p", "notes", "no key has been used yet")]));
  const faults = state.faults.map((fault) => {
    const { kind, times, skip, ...rest } = fault;
    const where = Object.entries(rest).map(([name, value]) => `${name} ${typeof value === "object" ? "…" : value}`);
    const item = make("li", "fault");
    item.append(make("b", "", kind), ` ${times === null ? "always" : times === 1 ? "once" : `${times} times`}`);
    if (skip) item.append(`, after ${skip}`);
    if (where.length) item.append(make("p", "notes", where.join(" · ")));
    return item;
  });
  $("faults").replaceChildren(...(faults.length ? faults : [make("li", "notes", "none: everything is served as documented")]));
}

function forget() {
  chats.clear();
  seen = 0;
  selected = null;
  for (const id of ["chats", "refused"]) $(id).replaceChildren();
  $("no-chats").hidden = false;
  showChat(null);
  selected = null;
}

function search() {
  const wanted = $("search").value.trim().toLowerCase();
  const digits = wanted.replace(/[\s+]/g, "");
  for (const chat of chats.values()) {
    chat.row.hidden = !(
      !wanted ||
      (digits && chat.receiver.includes(digits)) ||
      chat.messages.some((message) => message.text.toLowerCase().includes(wanted))
    );
  }
}

function live(on) {
  $("live").textContent = on ? "live" : "reconnecting";
  $("live").classList.toggle("on", on);
}

function listen(since, once) {
  const events = new EventSource(`/_sandbox/events?since=${since}${once ? "&once=1" : ""}`);
  events.addEventListener("open", () => live(true));
  events.addEventListener("error", () => live(false));
  events.addEventListener("message", ({ data }) => {
    const said = JSON.parse(data);
    if (epoch !== null && (said.state.epoch !== epoch || said.state.last < seen)) forget();
    epoch = said.state.epoch;
    addReceipts(said.receipts);
    showState(said.state);
    if (once) events.close();
  });
}

async function begin() {
  $("base-url").textContent = `${location.origin}/yonetim/api/index.php`;
  // `/?still` shows what is there now and ends its stream: for screenshots, whose clock waits for open connections.
  if (new URLSearchParams(location.search).has("still")) return listen(0, true);
  const [state, receipts] = await Promise.all([
    fetch("/_sandbox/state").then((answer) => answer.json()),
    fetch("/_sandbox/receipts?last=2000").then((answer) => answer.json()),
  ]);
  epoch = state.epoch;
  addReceipts(receipts);
  showState(state);
  return listen(seen, false);
}

$("search").addEventListener("input", search);
$("back").addEventListener("click", () => showChat(null));
$("reset").addEventListener("click", () => fetch("/_sandbox/reset", { method: "POST" }));
begin();
