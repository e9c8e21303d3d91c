"use strict";
(() => {
  const width = 1200, letter = 7.3;
  const boxes = [...document.querySelectorAll(".box")].map(g => ({
    g, rect: g.querySelector("rect"), text: g.querySelector("text"), name: g.dataset.n,
    x: Number(g.dataset.x), w: Number(g.dataset.w), y: Number(g.querySelector("rect").getAttribute("y")),
  }));
  const search = document.getElementById("search"), reset = document.getElementById("reset"), found = document.getElementById("found");
  const said = found.textContent;

  // show draws the boxes above and below one, which takes the whole width.
  const show = (x, w, y) => {
    for (const b of boxes) {
      const below = b.y > y && b.x <= x + 0.01 && b.x + b.w >= x + w - 0.01;
      const above = b.y <= y && b.x >= x - 0.01 && b.x + b.w <= x + w + 0.01;
      b.g.style.display = below || above ? "" : "none";
      const left = below ? 0 : (b.x - x) * width / w, wide = below ? width : b.w * width / w;
      b.rect.setAttribute("x", left);
      b.rect.setAttribute("width", wide);
      b.text.setAttribute("x", left + 3);
      const room = Math.floor((wide - 6) / letter), letters = [...b.name];
      b.text.textContent = letters.length <= room ? b.name : room < 3 ? "" : letters.slice(0, room - 1).join("") + "…";
    }
    reset.setAttribute("display", w < width ? "" : "none");
  };

  // look marks the boxes whose name has a text, and tells their share, each part once.
  const look = wanted => {
    let share = 0, end = -1, times = 0;
    for (const b of boxes) {
      const hit = wanted !== "" && b.name.includes(wanted);
      b.g.classList.toggle("found", hit);
      if (hit) times++;
    }
    // The boxes are in the order of their left edges within a row below: the outermost of
    // those that are marked come first.
    for (const b of [...boxes].sort((a, b) => a.x - b.x || b.w - a.w)) {
      if (b.g.classList.contains("found") && b.x >= end - 0.01) {
        share += b.w;
        end = b.x + b.w;
      }
    }
    found.textContent = wanted === "" ? said : `${wanted}: ${times} boxes, ${(share / width * 100).toFixed(2)} % of all instructions`;
  };
  const ask = () => look(prompt("Mark the functions whose name contains:") ?? "");

  for (const b of boxes) b.g.addEventListener("click", () => show(b.x, b.w, b.y));
  search.setAttribute("display", "");
  search.addEventListener("click", ask);
  reset.addEventListener("click", () => show(0, width, Infinity));
  addEventListener("keydown", e => {
    if (e.key === "/") { e.preventDefault(); ask(); }
    if (e.key === "Escape") { look(""); show(0, width, Infinity); }
  });
})();
