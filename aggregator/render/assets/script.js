// The pages work without this: it filters and sorts the list of feeds, copies URLs, and hides pictures that do not load.
"use strict";

const list = document.querySelector("[data-feeds]");

function newest(row) { return row.querySelector("time")?.dateTime ?? ""; }
function stories(row) { return Number.parseInt(row.querySelector(".meta").textContent, 10) || 0; }

function showFeeds(words, order) {
  const rows = [...list.children];
  const compare = {
    name: () => 0,
    newest: (a, b) => newest(b).localeCompare(newest(a)),
    size: (a, b) => stories(b) - stories(a),
  }[order];
  list.classList.toggle("flat", order !== "name" || words.length > 0);
  list.append(...rows.sort((a, b) => compare(a, b) || a.dataset.place - b.dataset.place));
  let shown = 0;
  for (const row of rows) {
    const text = [...row.querySelectorAll("strong, .about, .parent [dir=auto]")].map((part) => part.textContent).join(" ").toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
    shown += !row.hidden;
  }
  document.querySelector("[data-none]").hidden = shown > 0;
  document.querySelector("[data-shown]").textContent = words.length ? `${shown} of ${rows.length} feeds` : "";
}

if (list) {
  const tools = document.querySelector("[data-tools]");
  const [filter, order] = tools.querySelectorAll("input, select");
  const show = () => showFeeds(filter.value.toLowerCase().split(/\s+/).filter(Boolean), order.value);
  [...list.children].forEach((row, place) => { row.dataset.place = place; });
  tools.hidden = list.children.length < 10;
  tools.addEventListener("submit", (event) => event.preventDefault());
  filter.addEventListener("input", show);
  order.addEventListener("change", show);
  show(); // a browser that goes back fills the fields itself
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
    document.querySelector("[data-copied]").textContent = "The URL was copied";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
}

// The title of an entry without a link leads to the entry.
function openStory() {
  document.getElementById(location.hash.slice(1))?.closest(".entry")?.querySelector(":scope > details")?.setAttribute("open", "");
}
openStory();
addEventListener("hashchange", openStory);

for (const picture of document.querySelectorAll(".picture, .body img")) {
  const hide = () => { picture.hidden = true; };
  if (picture.complete && !picture.naturalWidth) hide();
  picture.addEventListener("error", hide);
}
