// Photos are sent as soon as they are taken, in pieces; what was not sent stays in the phone and goes on when the page is open again.
// Without this the form sends them. The protocol is described in agent/operator/web/uploading.py.
"use strict";

const form = document.getElementById("photos");
const PIECE = 256 * 1024;
const WAITS_S = [1, 2, 5, 10, 20, 30];

// --- what is still to be sent, kept by the browser -----------------------------------------------------------------
function store() {
  return new Promise((done, failed) => {
    const asked = indexedDB.open("intagly-photos", 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore("photos", { keyPath: "key" });
    asked.onsuccess = () => done(asked.result);
    asked.onerror = () => failed(asked.error);
  });
}

function within(database, mode, act) {
  return new Promise((done, failed) => {
    const transaction = database.transaction("photos", mode);
    const asked = act(transaction.objectStore("photos"));
    transaction.oncomplete = () => done(asked.result);
    transaction.onabort = transaction.onerror = () => failed(transaction.error);
  });
}

const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

// --- sending -------------------------------------------------------------------------------------------------------
class Told extends Error {} // the agent said no, for good
class Later extends Error {} // not now: no network, no agent, no room, or not signed in any more

async function call(method, path, headers = {}, body = undefined) {
  let answer;
  try {
    answer = await fetch(path, { method, body, headers: { "tus-resumable": "1.0.0", "x-form": form.elements.form.value, ...headers } });
  } catch {
    throw new Later("waits for the network, and goes on by itself");
  }
  if (answer.status >= 500 || [401, 403, 429].includes(answer.status)) throw new Later(`waits: ${await wordsOf(answer)}`);
  return answer;
}

async function wordsOf(answer) {
  const problem = await answer.json().catch(() => ({}));
  return [problem.detail, problem.hint].filter(Boolean).join(" ") || `it was not taken (${answer.status}).`;
}

const saidNo = async (answer) => new Told(await wordsOf(answer));

const in64 = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

async function begun(photo) {
  const about = { order: photo.order, item: photo.item, key: photo.key };
  const answer = await call("POST", "/uploads", {
    "upload-length": String(photo.blob.size),
    "upload-metadata": Object.entries(about).map(([name, value]) => `${name} ${in64(value)}`).join(","),
  });
  if (answer.status !== 201) throw await saidNo(answer);
  return { path: answer.headers.get("location"), offset: Number(answer.headers.get("upload-offset")) };
}

async function send(photo, progress) {
  let { path, offset } = await begun(photo);
  progress(offset);
  while (offset < photo.blob.size) {
    const piece = photo.blob.slice(offset, offset + PIECE);
    const headers = { "upload-offset": String(offset), "content-type": "application/offset+octet-stream" };
    let answer = await call("PATCH", path, headers, piece);
    if (answer.status === 409) answer = await call("HEAD", path); // a piece whose answer was lost: ask how much is there
    if (!answer.ok) throw await saidNo(answer);
    offset = Number(answer.headers.get("upload-offset"));
    progress(offset);
  }
}

// --- the page ------------------------------------------------------------------------------------------------------
function row(photo) {
  const list = document.querySelector(`[data-sending="${CSS.escape(photo.field)}"]`);
  if (photo.order !== form.dataset.order || !list) return { own: false, progress() {}, say() {}, done() {} };
  const line = document.createElement("li"), text = document.createElement("p"), bar = document.createElement("progress");
  bar.max = photo.blob.size;
  bar.setAttribute("aria-label", `Sending ${photo.name}`);
  text.textContent = photo.name;
  line.append(text, bar);
  list.append(line);
  return {
    own: true,
    progress(offset) { bar.value = offset; },
    say(words) { text.textContent = `${photo.name}: ${words}`; text.setAttribute("role", "status"); },
    done() { line.remove(); },
  };
}

async function showKept() {
  const answer = await fetch(location.pathname, { headers: { accept: "text/html" } });
  if (!answer.ok || answer.redirected) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const list of document.querySelectorAll("[data-kept]")) {
    const now = fresh.getElementById(list.id);
    if (now) list.replaceChildren(...document.adoptNode(now).childNodes);
  }
}

const lines = new Map();
let database, pumping = false, again = false, tries = 0, timer;

async function pump() {
  if (pumping) { again = true; return; }
  pumping = true;
  clearTimeout(timer);
  try {
    const waiting = await within(database, "readonly", (photos) => photos.getAll());
    for (const photo of waiting) show(photo);
    for (const photo of waiting) await sendOne(photo);
    tries = 0;
  } catch (why) {
    if (!(why instanceof Later)) throw why;
    timer = setTimeout(pump, 1000 * WAITS_S[Math.min(tries++, WAITS_S.length - 1)]);
  } finally {
    pumping = false;
  }
  if (again) { again = false; pump(); }
}

function show(photo) {
  if (!lines.has(photo.key)) lines.set(photo.key, row(photo));
  return lines.get(photo.key);
}

async function sendOne(photo) {
  const line = show(photo);
  try {
    await send(photo, (offset) => line.progress(offset));
    line.done();
  } catch (why) {
    line.say(why.message);
    if (why instanceof Later) throw why;
  }
  await within(database, "readwrite", (photos) => photos.delete(photo.key));
  lines.delete(photo.key);
  if (photo.order === form.dataset.order) await showKept().catch(() => undefined);
}

async function taken(input) {
  const files = [...input.files];
  for (const file of files) {
    // Copied at once: what a phone's camera hands over may be gone when the page is opened again.
    const blob = new Blob([await file.arrayBuffer()], { type: file.type });
    const photo = { key: newKey(), order: form.dataset.order, item: input.dataset.item, field: input.name, name: file.name, blob };
    await within(database, "readwrite", (photos) => photos.add(photo));
    show(photo);
  }
  input.value = "";
  pump();
}

async function begin() {
  try {
    database = await store();
  } catch {
    return; // a browser that keeps nothing: the form sends the photos
  }
  form.elements.keep.closest("p").hidden = true; // they are sent as they are taken
  const take = (input) => taken(input).catch(() => undefined); // no room in the phone: the form still has them
  form.addEventListener("change", (event) => {
    if (event.target.type === "file") take(event.target);
  });
  for (const input of form.querySelectorAll("input[type=file]")) if (input.files.length) take(input); // chosen while this was loading
  form.addEventListener("submit", (event) => {
    if (![...lines.values()].some((line) => line.own)) return;
    event.preventDefault();
    event.stopPropagation();
    const news = document.getElementById("news");
    news.textContent = "Photos are still on their way. Hand in when they have arrived.";
    news.hidden = false;
  });
  addEventListener("online", pump);
  await pump();
}

if (form && "indexedDB" in window) begin();
