// Tables that are searched, sorted and filtered; the address keeps what is shown.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const address = new URLSearchParams(location.hash.slice(1));
  for (const table of document.querySelectorAll("table.data")) {
    const key = table.id;
    const order = (address.get(`${key}.order`) || "").match(/^(\d+)(asc|desc)$/);
    const view = new DataTable(table, {
      paging: false,
      autoWidth: false,
      search: { search: address.get(`${key}.search`) || "" },
      order: order ? [[Number(order[1]), order[2]]] : [],
      layout: { topStart: "search", topEnd: null, bottomStart: "info", bottomEnd: null },
    });
    const selects = document.querySelectorAll(`.filters[data-table="${key}"] select`);
    const choose = (select) => {
      const escaped = select.value.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
      view.column(Number(select.dataset.column)).search(select.value ? `^${escaped}$` : "", true, false);
    };
    for (const select of selects) {
      const kept = address.get(`${key}.${select.dataset.column}`);
      if (kept !== null && [...select.options].some((option) => option.value === kept)) {
        select.value = kept;
        choose(select);
      }
      select.addEventListener("change", () => {
        choose(select);
        view.draw();
      });
    }
    view.draw();
    view.on("draw", () => {
      const now = new URLSearchParams(location.hash.slice(1));
      const set = (name, value) => (value ? now.set(name, value) : now.delete(name));
      set(`${key}.search`, view.search());
      const [first] = view.order();
      set(`${key}.order`, first && first[1] ? `${first[0]}${first[1]}` : "");
      for (const select of selects) {
        set(`${key}.${select.dataset.column}`, select.value);
      }
      history.replaceState(null, "", `#${now}`);
    });
  }
  for (const button of document.querySelectorAll("button.copy")) {
    button.addEventListener("click", () => {
      const text = document.getElementById(button.dataset.form);
      text.hidden = false;
      text.select();
      document.execCommand("copy");
      text.hidden = true;
      button.textContent = "Copied";
    });
  }
});
