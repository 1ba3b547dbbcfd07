// Replaces the picture of each chart by the chart itself when it comes into sight.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const options = { renderer: "svg", actions: false };
  const show = (place) => {
    const source = document.getElementById(`chart-${place.dataset.chart}`);
    const live = document.createElement("div");
    vegaEmbed(live, JSON.parse(source.textContent), options)
      .then(() => {
        // The figure says what the chart shows; its parts have roles without names.
        live.querySelectorAll("[role]").forEach((part) => part.removeAttribute("role"));
        live.querySelector("svg").setAttribute("aria-hidden", "true");
        place.replaceChildren(live);
      })
      .catch((error) => console.error(error));
  };
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) {
        watcher.unobserve(entry.target);
        show(entry.target);
      }
    }
  }, { rootMargin: "200px" });
  document.querySelectorAll(".drawn").forEach((place) => watcher.observe(place));
});
