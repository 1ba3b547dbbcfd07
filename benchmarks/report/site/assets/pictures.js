// Which two pictures a slider shows, and how large.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  for (const compare of document.querySelectorAll(".compare")) {
    const slider = compare.querySelector("img-comparison-slider");
    for (const select of compare.querySelectorAll("select")) {
      select.addEventListener("change", () => {
        const picture = slider.querySelector(`[slot="${select.dataset.slot}"]`);
        picture.src = select.value;
        picture.alt = select.selectedOptions[0].textContent;
      });
    }
    const zoom = compare.querySelector(".zoom");
    zoom.addEventListener("click", () => {
      const larger = compare.classList.toggle("large");
      zoom.textContent = larger ? "Smaller" : "Zoom";
    });
  }
});
