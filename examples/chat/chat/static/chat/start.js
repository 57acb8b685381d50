"use strict";
// The name belongs to the tab, so that one browser can be several people; a new tab proposes the last one.

const field = document.getElementById("name");
field.value = sessionStorage.getItem("name") || localStorage.getItem("name") || "";

function keep() {
  for (const store of [sessionStorage, localStorage]) store.setItem("name", field.value.trim());
}

keep();
field.addEventListener("input", keep);

// A link to an open room needs the name as the form does.
for (const link of document.querySelectorAll(".rooms a")) {
  link.addEventListener("click", event => {
    if (!field.value.trim()) {
      event.preventDefault();
      field.value = "";
      field.reportValidity();
    }
  });
}
