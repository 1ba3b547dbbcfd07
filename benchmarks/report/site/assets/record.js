// Lays the record that the address names out as tables, from its JSON on the page.
"use strict";
const layOut = () => {
  const shown = document.getElementById(location.hash.slice(1));
  if (!shown || !shown.matches(".record") || shown.querySelector("table")) {
    return;
  }
  const record = JSON.parse(shown.querySelector("pre").textContent);
  const place = shown.querySelector(".values");
  const add = (caption, head, rows) => {
    if (!rows.length) {
      return;
    }
    const table = document.createElement("table");
    table.className = "plain";
    table.createCaption().textContent = caption;
    const top = table.createTHead().insertRow();
    for (const name of head) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.textContent = name;
      top.append(cell);
    }
    const body = table.createTBody();
    for (const row of rows) {
      const line = body.insertRow();
      for (const value of row) {
        line.insertCell().textContent = value;
      }
    }
    // Names such as peak_over_closed_form do not break, and a phone is narrower than the table.
    const scroll = document.createElement("div");
    scroll.className = "scroll";
    scroll.tabIndex = 0;
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", caption);
    scroll.append(table);
    place.append(scroll);
  };
  const show = (value) => (typeof value === "object" ? JSON.stringify(value) : String(value));
  add("Values", ["quantity", "value", "unit", "99 % interval", "how"],
    Object.entries(record.metrics || {}).map(([name, found]) => [
      name, found.value, found.unit || "",
      found.lo === undefined || found.lo === null ? "" : `${found.lo} to ${found.hi}`,
      (found.statistic || "exact") + (found.samples ? `, ${found.samples.length} samples` : ""),
    ]));
  const environment = record.environment || {};
  add("Run", ["what", "value"], [
    ["command", record.command || ""],
    ["commit", (environment.commit || "none") + (environment.dirty ? ", with uncommitted changes" : "")],
    ["date", environment.timestamp || ""],
  ]);
  add("Cell", ["field", "value"], Object.entries(record.cell).map(([name, value]) => [name, show(value)]));
  add("What else was found", ["check", "value"],
    Object.entries(record.checks || {}).map(([name, value]) => [name, show(value)]));
};
document.addEventListener("DOMContentLoaded", layOut);
window.addEventListener("hashchange", layOut);
