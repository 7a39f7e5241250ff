// The table: sorting by a heading, and rows that follow the filters.

const sorting = { column: -1, direction: 1 };

function tableRows() {
  return [...document.querySelectorAll("#cells tbody tr")];
}

function keyOf(row, column) {
  const cell = row.children[column];
  if (column < 2) return cell.textContent;
  return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
}

function sortTable() {
  const { column, direction } = sorting;
  if (column < 0) return;
  const rows = tableRows();
  rows.sort((a, b) => compareKeys(keyOf(a, column), keyOf(b, column), direction));
  document.querySelector("#cells tbody").append(...rows);
}

function installSorting() {
  const headings = [...document.querySelectorAll("#cells thead th")];
  headings.forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      sorting.direction = sorting.column === column ? -sorting.direction : 1;
      sorting.column = column;
      for (const other of headings) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", sorting.direction > 0 ? "ascending" : "descending");
      sortTable();
    });
  });
}

/** Hides the columns that no visible cell has figures for. */
function chooseColumns(visible) {
  const hide = (name, shown) => element("cells").classList.toggle(`no-${name}`, visible.length > 0 && !shown);
  const weights = visible.filter((cell) => data.groups[cell.group].unit === "weights");
  hide("values", weights.length < visible.length);
  hide("weights", weights.length > 0);
  hide("floors", visible.some((cell) => cell.kld_floors !== null));
}

function filterTable(visible) {
  chooseColumns(visible);
  const keys = new Set(visible.map((cell) => cell.key));
  let shown = 0;
  for (const row of tableRows()) {
    row.hidden = !keys.has(`cell-${row.dataset.cell}`);
    row.classList.toggle("picked", `cell-${row.dataset.cell}` === chosen.picked);
    shown += row.hidden ? 0 : 1;
  }
  const all = data.cells.filter((cell) => cell.group === filters.group).length;
  element("shown").textContent = shown === all ? `${shown} cells` : `${shown} of ${all} cells`;
  element("filtered").textContent = shown === all ? `· all ${all} cells` : `· ${shown} of ${all} cells`;
}
