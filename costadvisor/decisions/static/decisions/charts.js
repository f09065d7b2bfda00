// Draws each chart of the page from the figure beside it. Without this script the page shows pictures instead.
"use strict";

function drawCharts(within) {
  for (const plot of within.querySelectorAll("[data-chart]")) {
    const { data, layout } = JSON.parse(document.getElementById(plot.dataset.chart).textContent);
    if (plot.clientWidth < 600) fitPhone(data, layout);
    Plotly.newPlot(plot, data, { height: 400, ...layout }, { responsive: true, displayModeBar: false });
  }
}

// Long words break, and those inside the plot give way: the sentence and the table say them.
function fitPhone(data, layout) {
  layout.height = 460;
  layout.legend.y = -0.4;
  layout.xaxis.nticks = 4;
  for (const axis of [layout.xaxis, layout.yaxis]) {
    if (axis.title) axis.title.text = broken(axis.title.text, 32);
  }
  for (const shape of layout.shapes) delete shape.label;
  if (layout.yaxis.type === "category") {
    layout.yaxis.tickfont = { size: 10 };
    layout.yaxis.ticklabelstandoff = 0;
    for (const trace of data) {
      trace.y = trace.y.map((name) => name && broken(name, 18));
      trace.mode = trace.mode.replace("+text", "");
    }
  }
}

function broken(text, width) {
  const lines = [""];
  for (const word of text.split(" ")) {
    if (lines.at(-1) && (lines.at(-1) + word).length > width) lines.push(word);
    else lines.push(`${lines.pop()} ${word}`.trim());
  }
  return lines.join("<br>");
}

document.addEventListener("htmx:load", (event) => drawCharts(event.detail.elt));
