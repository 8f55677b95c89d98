// Comfort for the forms, which work without: names of chosen photos, drag and drop, progress.
"use strict";

const running = document.querySelector(".running");
const buttons = document.querySelectorAll("form button");
const progress = (going) => {
  if (running) running.textContent = going ? running.dataset.running : "";
  for (const button of buttons) button.disabled = going;
};
for (const form of document.forms) form.addEventListener("submit", () => progress(true));
window.addEventListener("pageshow", () => progress(false)); // "back" shows the page as it was left

const input = document.querySelector("#photos");
if (input) {
  const drop = document.querySelector(".drop");
  const chosen = document.querySelector(".chosen");
  const show = () => {
    const names = Array.from(input.files, (file) => file.name);
    chosen.textContent = names.length ? `${chosen.dataset.chosen}: ${names.join(", ")}` : "";
  };

  document.querySelector(".with-script").hidden = false;
  input.addEventListener("change", show);
  window.addEventListener("pageshow", show);
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragenter" || kind === "dragover");
    });
  }
  drop.addEventListener("drop", (event) => {
    const all = new DataTransfer();
    for (const file of [...input.files, ...event.dataTransfer.files]) all.items.add(file);
    input.files = all.files;
    show();
  });
}
