"""Style sheet and script of the report; both are part of the page, which asks for nothing else."""

STYLE = """
*{box-sizing:border-box}
body{margin:0 auto;max-width:920px;padding:28px 24px 64px;background:var(--paper);
color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,
sans-serif;font-variant-numeric:tabular-nums}
header p.about{margin:0 0 18px;color:var(--muted);font-size:14px;overflow-wrap:anywhere}
h1{font-size:27px;line-height:1.28;font-weight:650;letter-spacing:-.012em;margin:0 0 12px;
text-wrap:pretty;overflow-wrap:anywhere}
p.lead{font-size:18px;line-height:1.5;margin:0 0 22px;color:var(--ink)}
h2{font-size:20px;letter-spacing:-.008em;margin:0 0 6px}
section{margin-top:44px;padding-top:20px;border-top:1px solid var(--grid)}
p{margin:10px 0}
p.fine,small{color:var(--muted);font-size:13.5px}
nav{display:flex;flex-wrap:wrap;gap:2px 14px;margin:18px 0 0;font-size:14px;color:var(--muted)}
nav a{color:inherit}
code,pre{font:13.5px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
pre{background:var(--band);padding:12px 14px;border-radius:6px;white-space:pre-wrap;
overflow-wrap:anywhere;margin:8px 0}
figure{margin:14px 0 22px}
figcaption{color:var(--muted);font-size:14.5px;margin:0 0 14px}
ul.notes{padding-left:20px;margin:12px 0;font-size:15px}
ul.notes li{margin:5px 0}
ul.strip{list-style:none;margin:0;padding:0;display:grid;grid-template-columns:repeat(5,1fr);
gap:10px}
ul.strip li{border-top:3px solid var(--grid);padding:8px 2px 0;display:flex;flex-direction:column;
gap:1px;min-width:0}
ul.strip b{font-size:14.5px;line-height:1.3}
ul.strip .value{font-size:17px}
ul.strip .sure{font-size:12.5px;line-height:1.4;color:var(--muted)}
.turn{white-space:nowrap;font-weight:600;font-size:13.5px}
.turn .icon{display:inline-block;width:14px;height:14px;vertical-align:-2px;margin-right:4px}
.turn.down{color:var(--down)}.turn.up{color:var(--up)}
.turn.leave{color:var(--muted)}.turn.inconclusive{color:var(--inconclusive)}
ul.strip li.down{border-color:var(--down)}ul.strip li.up{border-color:var(--up)}
ul.strip li.inconclusive{border-color:var(--inconclusive)}
.scroll{overflow-x:auto;margin:12px 0}
#trials{width:min(1240px,100vw - 48px);position:relative;left:50%;transform:translateX(-50%)}
table{border-collapse:collapse;font-size:14px;line-height:1.4;min-width:100%}
th,td{text-align:left;padding:6px 12px 6px 0;border-bottom:1px solid var(--grid);
vertical-align:top;font-weight:400}
thead th.number{white-space:normal}
thead th{color:var(--muted);font-size:12.5px;vertical-align:bottom;border-color:var(--muted)}
.number{text-align:right;white-space:nowrap}
tr.cut{color:var(--muted)}
table.sortable{font-size:12.5px}
table.sortable th,table.sortable td{padding:4px 10px 4px 0}
table.sortable td.what{min-width:150px}table.sortable td.ended{min-width:132px}
table.sortable tbody th{white-space:nowrap;position:sticky;left:0;background:var(--paper)}
table.sortable button{all:unset;cursor:pointer;color:inherit}
table.sortable button:focus-visible{outline:2px solid var(--best)}
th[aria-sort=ascending] button::after{content:" ↑"}
th[aria-sort=descending] button::after{content:" ↓"}
.switch{margin-right:18px;font-size:14px;white-space:nowrap}
@media screen and (max-width:640px){
body{padding:18px 16px 48px;font-size:15.5px}
h1{font-size:22px}p.lead{font-size:16.5px}
#trials{width:auto;left:0;transform:none}
table{font-size:12px}table code{font-size:11px}thead th{font-size:11px}
table.cards,table.cards code{font-size:14px}th,td{padding-right:5px}
ul.strip{grid-template-columns:1fr}
ul.strip li{display:grid;grid-template-columns:118px 1fr;column-gap:8px;padding:7px 0}
ul.strip .sure{grid-column:2}ul.strip .value{grid-column:2;font-size:16px}
ul.strip .turn{grid-row:1/3}
table.cards thead{display:none}
table.cards tr{display:block;padding:10px 0;border-bottom:1px solid var(--grid)}
table.cards th,table.cards td{display:flex;justify-content:space-between;gap:16px;border:0;
padding:2px 0;text-align:right;white-space:normal}
table.cards th{display:block;text-align:left}
table.cards td::before{content:attr(data-label);color:var(--muted);text-align:left;flex:none}
table.cards td:empty{display:none}
}
@media print{
body{max-width:none;padding:0;font-size:10.5pt}
nav,.switch{display:none}
section{break-before:auto;margin-top:22pt}
h2{break-after:avoid}figure,tr,ul.strip{break-inside:avoid}
.scroll{overflow:visible}table.sortable,table.sortable thead th{font-size:6.5pt}
table.sortable th,table.sortable td{padding:2pt 4pt 2pt 0;white-space:normal}
table.sortable td.what,table.sortable td.ended{min-width:0}
ul.strip b{font-size:9.5pt}ul.strip .value{font-size:11pt}
#trials{width:auto;left:0;transform:none}
}
"""

SCRIPT = """
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
"""
"""Sorts by the column whose head is clicked, empty cells last, and hides stages."""
