// Draws each chart of the page from the figure beside it. Without this script the page shows pictures instead.
"use strict";

function drawCharts(within) {
  for (const plot of within.querySelectorAll("[data-chart]")) {
    const figure = JSON.parse(document.getElementById(plot.dataset.chart).textContent);
    const narrow = plot.clientWidth < 600;
    const layout = { ...figure.layout, height: narrow ? 380 : 440 };
    Plotly.newPlot(plot, figure.data, layout, { responsive: true, displayModeBar: false });
  }
}

document.addEventListener("DOMContentLoaded", () => drawCharts(document));
document.addEventListener("htmx:load", (event) => drawCharts(event.detail.elt));
