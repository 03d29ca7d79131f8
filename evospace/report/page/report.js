"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const colours = new Set(["color", "fillcolor"]);
  const ours = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const themed = (value, key) => {
    if (Array.isArray(value)) return value.map(item => themed(item, key));
    if (value !== null && typeof value === "object")
      return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, themed(item, name)]));
    return colours.has(key) && typeof value === "string" && value.startsWith("--") ? ours(value) : value;
  };
  const axis = given => Object.assign({
    gridcolor: ours("--line"), zerolinecolor: ours("--line"), linecolor: ours("--line"), fixedrange: true,
  }, given);
  const draw = () => {
    for (const [id, figure] of Object.entries(figures)) {
      const place = document.getElementById("chart-" + id);
      const layout = Object.assign(themed(figure.layout, ""), {
        xaxis: axis(figure.layout.xaxis), yaxis: axis(figure.layout.yaxis),
        font: { family: getComputedStyle(document.body).fontFamily, size: 12.5, color: ours("--ink") },
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
        margin: { l: 58, r: 14, t: 14, b: 50 }, hovermode: "closest", dragmode: false, autosize: true,
        legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: 12 } },
        hoverlabel: { align: "left", bgcolor: ours("--panel"), bordercolor: ours("--line"),
          font: { family: getComputedStyle(document.body).fontFamily, size: 11.5, color: ours("--ink") }, namelength: -1 },
      });
      Plotly.react(place, themed(figure.data, ""), layout, { displayModeBar: false, responsive: true });
    }
  };
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

  const outcomes = { k: "kept", p: "pruned", u: "unused" };
  const said = { k: "on the front", p: "pruned", u: "unused" };
  const past = cell => (cell.dataset.h || "").split(" ").filter(Boolean).map(step => {
    const [, round, letter, fitness] = step.match(/^(\d+)([kpu])(.*)$/);
    return { round: Number(round), letter, fitness };
  });
  const cells = [...document.querySelectorAll(".grid td")];
  const show = until => {
    for (const cell of cells) {
      const steps = past(cell).filter(step => step.round <= until);
      cell.className = steps.length ? outcomes[steps[steps.length - 1].letter] : "";
      cell.textContent = steps.length ? steps[0].round : "";
    }
  };
  const slider = document.getElementById("until");
  if (slider) slider.addEventListener("input", () => {
    document.getElementById("until-text").textContent = slider.value;
    show(Number(slider.value));
  });
  document.querySelectorAll(".grid").forEach(table => table.addEventListener("mouseover", event => {
    const cell = event.target.closest("td");
    if (!cell || cell.title) return;
    const steps = past(cell).map(step => `round ${step.round}: ${said[step.letter]}${step.fitness && `, fitness ${step.fitness}`}`);
    const name = cell.parentElement.firstElementChild.textContent;
    cell.title = [`block ${cell.cellIndex}: ${name}`, ...(steps.length ? steps : ["absent" in cell.dataset ? "not in this block's part of the pool" : "not yet traversed"])].join("\n");
  }));
  const filter = document.getElementById("filter");
  const onlyKept = document.getElementById("only-kept");
  const choose = () => document.querySelectorAll(".grid tbody tr").forEach(row => {
    const named = row.firstElementChild.textContent.toLowerCase().includes(filter.value.trim().toLowerCase());
    row.hidden = !named || (onlyKept.checked && !row.querySelector(".kept"));
  });
  filter.addEventListener("input", choose);
  onlyKept.addEventListener("change", choose);
  if (slider) slider.addEventListener("input", choose);

  document.querySelectorAll("table.sortable th button").forEach(button => button.addEventListener("click", () => {
    const head = button.closest("th"), table = head.closest("table"), body = table.tBodies[0];
    const down = head.getAttribute("aria-sort") === "ascending";
    const numeric = head.classList.contains("number");
    const value = row => row.cells[head.cellIndex].textContent.trim();
    const rows = [...body.rows].sort((a, b) => numeric
      ? Number(value(a)) - Number(value(b)) : value(a).localeCompare(value(b), "en", { numeric: true }));
    table.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    body.append(...(down ? rows.reverse() : rows));
  }));
})();
