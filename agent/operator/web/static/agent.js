// Everything works without this. With it: pages stay true by themselves, a form is sent once, and a pairing code need not be typed.
"use strict";

const main = document.getElementById("main");
const news = document.getElementById("news");

function tell(text, link) {
  news.textContent = text;
  if (link) {
    const again = document.createElement("a");
    again.href = location.href;
    again.textContent = " Show it";
    news.append(again);
  }
  news.hidden = !text;
}

// What a person has begun (a field, an opened part) is not taken from under their fingers.
function busy() {
  const active = document.activeElement;
  const begun = main.querySelector("details[open] form, [aria-busy]");
  const typing = active && main.contains(active) && active.matches("input, textarea, select");
  const chosen = [...main.querySelectorAll("input[type=file], input[type=checkbox]")].some((field) => field.checked || field.files?.length);
  return Boolean(begun || typing || chosen);
}

// This page as it is now, or nothing where it has to be loaded anew. Pictures that were seen do not flicker: each new one is read before.
async function asItIsNow() {
  const answer = await fetch(location.href, { headers: { accept: "text/html" } });
  if (answer.redirected || !answer.ok) {
    location.reload();
    return undefined;
  }
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const read = [...fresh.querySelectorAll("figure[id] img")].map(async (image) => {
    const seen = document.getElementById(image.closest("figure").id)?.querySelector("img");
    if (!seen?.naturalWidth) return;
    const ready = document.importNode(image);
    ready.loading = "eager"; // one that is in no page yet waits for nobody's eyes
    await ready.decode().catch(() => undefined);
    image.replaceWith(ready);
  });
  await Promise.all(read);
  return fresh;
}

async function refreshPictures() {
  const fresh = await asItIsNow();
  for (const figure of fresh?.querySelectorAll("figure[id]") ?? []) {
    const old = document.getElementById(figure.id);
    const focused = old?.contains(document.activeElement);
    old?.replaceWith(document.adoptNode(figure));
    if (focused) figure.querySelector("a")?.focus();
  }
}

async function refresh() {
  if (busy()) {
    tell("Something has changed.", true);
    return;
  }
  const fresh = await asItIsNow();
  if (!fresh) return;
  const open = [...main.querySelectorAll("details[open] > summary")].map((summary) => summary.textContent);
  const focused = document.activeElement?.closest("article[aria-labelledby]")?.getAttribute("aria-labelledby");
  main.replaceChildren(...document.adoptNode(fresh.getElementById("main")).childNodes);
  for (const summary of main.querySelectorAll("summary")) summary.parentElement.open = open.includes(summary.textContent);
  document.title = fresh.title;
  if (focused) main.querySelector(`[aria-labelledby="${CSS.escape(focused)}"] :is(button, a)`)?.focus();
  tell("");
}

function live(mark) {
  const pictured = document.body.dataset.pictured;
  const stream = new EventSource("/live?mark=" + encodeURIComponent(mark) + (pictured ? "&pictures=" + pictured : ""));
  let lost = 0;
  stream.addEventListener("pictures", () => refreshPictures().catch(() => undefined)); // the next one may come through
  stream.addEventListener("changed", () => refresh().catch(() => tell("The agent cannot be reached. What you see may be old.")));
  stream.addEventListener("open", () => { if (lost) { lost = 0; refresh().catch(() => undefined); } });
  stream.addEventListener("error", () => { if (++lost > 1) tell("The agent cannot be reached. What you see may be old."); });
}

document.addEventListener("submit", (event) => {
  const button = event.submitter ?? event.target.querySelector("button");
  if (event.target.dataset.sent) { event.preventDefault(); return; }
  event.target.dataset.sent = "yes";
  button?.setAttribute("aria-busy", "true");
  if (event.target.enctype === "multipart/form-data") tell("The photos are being sent…");
});
// Coming back by the back button: the form may be sent again, and the agent says what came of it the first time.
addEventListener("pageshow", () => { for (const form of document.forms) delete form.dataset.sent; });

const code = document.getElementById("code");
if (code instanceof HTMLInputElement && location.hash.length > 1) {
  code.value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname);
}

if (document.body.dataset.mark) live(document.body.dataset.mark);
