// The pages work without this: it filters and sorts the list of feeds, copies URLs, and hides pictures that do not load.
"use strict";

const list = document.querySelector("[data-feeds]");

function showFeeds(words, order) {
  const rows = [...list.children];
  const compare = {
    name: (a, b) => a.dataset.place - b.dataset.place,
    newest: (a, b) => b.dataset.newest.localeCompare(a.dataset.newest) || a.dataset.place - b.dataset.place,
    size: (a, b) => b.dataset.size - a.dataset.size || a.dataset.place - b.dataset.place,
  }[order];
  list.classList.toggle("flat", order !== "name");
  list.append(...rows.sort(compare));
  let shown = 0;
  for (const row of rows) {
    row.hidden = !words.every((word) => row.dataset.words.includes(word));
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
  tools.hidden = false;
  filter.addEventListener("input", show);
  order.addEventListener("change", show);
  show();
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.dataset.copy);
    const label = button.textContent;
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = label; }, 2000);
  });
}

function hideBroken(picture) { picture.hidden = true; }
for (const picture of document.querySelectorAll(".picture, .body img")) {
  if (picture.complete && !picture.naturalWidth) hideBroken(picture);
  picture.addEventListener("error", () => hideBroken(picture));
}
