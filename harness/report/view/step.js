"use strict";
(() => {
  const all = [];
  for (const result of document.querySelectorAll(".result")) {
    const stops = [...result.querySelectorAll(".stop")];
    const stepper = result.querySelector(".stepper");
    if (!stepper || stops.length < 2) continue;
    const slider = stepper.querySelector(".slider");
    const now = stepper.querySelector(".now");
    const everything = stepper.querySelector(".all");
    const marks = [...result.querySelectorAll(".mark")];
    let at = 0;
    let whole = false;
    const show = (n) => {
      at = Math.max(0, Math.min(stops.length - 1, n));
      stops.forEach((s, i) => { s.hidden = !whole && i !== at; });
      for (const m of marks) {
        if (m.getAttribute("href") === "#" + stops[at].id) m.setAttribute("aria-current", "step");
        else m.removeAttribute("aria-current");
      }
      slider.value = String(at + 1);
      const title = stops[at].querySelector("h3").textContent.replace(/\s+/g, " ").trim();
      slider.setAttribute("aria-valuetext", title);
      now.textContent = "Stop " + (at + 1) + " of " + stops.length + ": " + title;
      if (whole) stops[at].scrollIntoView({ block: "nearest" });
    };
    const own = { result, step: (by) => show(at + by), first: () => show(0), last: () => show(stops.length - 1) };
    own.find = (id) => {
      const n = stops.findIndex((s) => s.id === id);
      if (n >= 0) show(n);
      return n >= 0;
    };
    slider.addEventListener("input", () => show(Number(slider.value) - 1));
    stepper.querySelector(".back").addEventListener("click", () => own.step(-1));
    stepper.querySelector(".next").addEventListener("click", () => own.step(1));
    everything.addEventListener("click", () => {
      whole = !whole;
      everything.setAttribute("aria-pressed", String(whole));
      show(at);
    });
    for (const m of marks) {
      m.addEventListener("click", (e) => {
        if (own.find(m.getAttribute("href").slice(1))) e.preventDefault();
      });
    }
    stepper.hidden = false;
    show(0);
    all.push(own);
  }
  // The keys are for the result that fills the middle of the window.
  const current = () => all.find((r) => r.result.getBoundingClientRect().bottom > innerHeight / 2) || all[all.length - 1];
  document.addEventListener("keydown", (e) => {
    if (!all.length || e.ctrlKey || e.altKey || e.metaKey || e.target.matches("input, textarea, select")) return;
    const does = { ArrowRight: (r) => r.step(1), ArrowLeft: (r) => r.step(-1), Home: (r) => r.first(), End: (r) => r.last() }[e.key];
    if (!does) return;
    does(current());
    e.preventDefault();
  });
  const linked = () => {
    const id = decodeURIComponent(location.hash.slice(1));
    if (id && all.some((r) => r.find(id))) document.getElementById(id).scrollIntoView({ block: "nearest" });
  };
  addEventListener("hashchange", linked);
  linked();
})();
