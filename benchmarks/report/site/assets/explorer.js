// Shows the keys of the pixel that a reader points at.
"use strict";
document.addEventListener("DOMContentLoaded", async () => {
  const side = 32;
  const orders = {};
  for (const [name, packed] of Object.entries(JSON.parse(document.getElementById("orders").textContent))) {
    const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
    const inflated = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    orders[name] = new Uint16Array(await new Response(inflated).arrayBuffer());
  }
  const photograph = document.getElementById("photograph");
  const k = document.getElementById("k");
  const said = document.getElementById("said");
  const address = new URLSearchParams(location.hash.slice(1));
  for (const select of [photograph, k]) {
    const kept = address.get(select.id);
    if (kept !== null && [...select.options].some((option) => option.value === kept)) {
      select.value = kept;
    }
  }
  let number = address.get("window");
  let query = Math.min(Math.max(Number(address.get("pixel")) || 9 * side + 9, 0), side * side - 1);
  const draw = () => {
    if (!(`${photograph.value}-${number}` in orders)) {
      number = "1";
    }
    const order = orders[`${photograph.value}-${number}`];
    const most = order.length / (side * side);
    const count = Number(k.value);
    const keys = order.subarray(query * most, query * most + count);
    let served = 0;
    for (let other = 0; other < side * side; other += 1) {
      served += order.subarray(other * most, other * most + count).includes(query) ? 1 : 0;
    }
    for (const panel of document.querySelectorAll(".explored")) {
      panel.hidden = panel.dataset.name !== photograph.value;
      for (const button of panel.querySelectorAll("button")) {
        button.setAttribute("aria-pressed", button.dataset.number === number);
      }
      for (const view of panel.querySelectorAll(".window")) {
        view.toggleAttribute("hidden", view.dataset.number !== number);
        view.querySelector(".keys").replaceChildren(...[...keys].map((key) => {
          const square = document.createElementNS("http://www.w3.org/2000/svg", "rect");
          square.setAttribute("x", key % side);
          square.setAttribute("y", Math.floor(key / side));
          square.setAttribute("width", 1);
          square.setAttribute("height", 1);
          return square;
        }));
        const mark = view.querySelector(".query");
        mark.setAttribute("x", query % side);
        mark.setAttribute("y", Math.floor(query / side));
      }
    }
    const share = Math.round((100 * served) / (side * side));
    said.textContent = `Row ${Math.floor(query / side) + 1}, column ${(query % side) + 1}: ` +
      `${count} keys; itself a key of ${served} of ${(side * side).toLocaleString("en")} pixels, ${share} %.`;
    address.set("photograph", photograph.value);
    address.set("window", number);
    address.set("k", k.value);
    address.set("pixel", query);
    history.replaceState(null, "", `#${address}`);
  };
  for (const view of document.querySelectorAll(".window")) {
    view.addEventListener("pointermove", (event) => {
      const box = view.getBoundingClientRect();
      const column = Math.floor(((event.clientX - box.left) / box.width) * side);
      const row = Math.floor(((event.clientY - box.top) / box.height) * side);
      if (column >= 0 && column < side && row >= 0 && row < side && row * side + column !== query) {
        query = row * side + column;
        draw();
      }
    });
    view.addEventListener("keydown", (event) => {
      const [down, right] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] || [0, 0];
      if (down || right) {
        event.preventDefault();
        const row = Math.min(Math.max(Math.floor(query / side) + down, 0), side - 1);
        const column = Math.min(Math.max((query % side) + right, 0), side - 1);
        query = row * side + column;
        draw();
      }
    });
  }
  for (const button of document.querySelectorAll(".photograph button")) {
    button.addEventListener("click", () => {
      number = button.dataset.number;
      draw();
    });
  }
  photograph.addEventListener("change", draw);
  k.addEventListener("change", draw);
  draw();
});
