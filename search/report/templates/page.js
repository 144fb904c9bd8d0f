
document.querySelectorAll("table.sortable").forEach(table => {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  const value = (row, column) => {
    const cell = row.cells[column];
    if (!cell.classList.contains("number")) return cell.textContent;
    return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
  };
  heads.forEach((head, column) => head.firstChild.addEventListener("click", () => {
    const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    heads.forEach(other => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    [...body.rows].sort((first, second) => {
      const a = value(first, column), b = value(second, column);
      if (a === null || b === null) return (a === null) - (b === null);
      return sign * (typeof a === "number" ? a - b : a.localeCompare(b));
    }).forEach(row => body.append(row));
  }));
  document.querySelectorAll("input[data-show]").forEach(box => {
    const show = () => body.querySelectorAll(`tr[data-stage=${box.dataset.show}]`)
      .forEach(row => { row.hidden = !box.checked; });
    box.addEventListener("change", show);
    show();
  });
});
document.querySelectorAll(".scroll").forEach(box => {
  const hint = document.createElement("p");
  hint.className = "hint";
  hint.textContent = "More columns: scroll sideways \u2192";
  box.before(hint);
  const show = () => { hint.hidden = box.scrollWidth <= box.clientWidth + 1; };
  addEventListener("resize", show);
  show();
});
