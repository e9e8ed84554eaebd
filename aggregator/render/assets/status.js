// The page works without this: it fetches itself while somebody looks, and puts in what changed.
"use strict";

const EVERY_MS = 3000;
const pause = document.querySelector("[data-pause]");
let seen = Date.now();
let timer = 0;

function nameOf(element) { return element.parentElement.dataset.keep ?? element.getAttribute("aria-label"); }

function put(fresh) {
  for (const part of fresh.querySelectorAll("[data-part]")) {
    const shown = document.querySelector(`[data-part="${part.dataset.part}"]`);
    if (!shown) { location.reload(); return; }
    for (const kept of shown.querySelectorAll("details[open][data-keep]")) {
      const again = part.querySelector(`details[data-keep="${kept.dataset.keep}"]`);
      if (again) again.open = true;
    }
    shown.className = part.className;
    if (shown.innerHTML === part.innerHTML) continue;
    const focused = shown.contains(document.activeElement) ? nameOf(document.activeElement) : null;
    shown.replaceChildren(...part.childNodes);
    if (focused === null) continue;
    const again = [...shown.querySelectorAll("summary, [tabindex]")].find((element) => nameOf(element) === focused);
    again?.focus({ preventScroll: true });
  }
  document.title = fresh.title;
}

function tellLost(is) {
  const lost = document.querySelector("[data-lost]");
  if (is) document.querySelector("[data-lost-since]").textContent = new Date(seen).toLocaleTimeString();
  lost.hidden = !is;
}

async function update() {
  clearTimeout(timer);
  if (document.hidden || pause.getAttribute("aria-pressed") === "true") return;
  try {
    const reply = await fetch(location.href, { signal: AbortSignal.timeout(20000) });
    const text = await reply.text();
    put(new DOMParser().parseFromString(text, "text/html"));
    seen = Date.now();
    tellLost(false);
  } catch {
    tellLost(true);
  }
  clearTimeout(timer);
  timer = setTimeout(update, EVERY_MS);
}

pause.hidden = false;
pause.addEventListener("click", () => {
  pause.setAttribute("aria-pressed", String(pause.getAttribute("aria-pressed") !== "true"));
  update();
});
document.addEventListener("visibilitychange", update);
timer = setTimeout(update, EVERY_MS);
