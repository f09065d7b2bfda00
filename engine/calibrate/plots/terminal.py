"""A chart in a terminal: lines of Braille dots, marks on top, as wide as there is room."""

import itertools
from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from engine.calibrate.plots.chart import Chart, Series, inside

ROWS = 16
LEAST_COLUMNS = 24
MOST_COLUMNS = 100
# Bits of the eight dots of a Braille character by their row and column.
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
MARKS = ("●", "○")
STYLES = ("cyan", "yellow")
RULE_STYLE = "red"
SPAN_STYLE = "grey50"


class Canvas:
    """`columns` × `rows` characters over the plot's area; what is drawn later covers what was before."""

    def __init__(self, chart: Chart, columns: int, rows: int) -> None:
        self.chart, self.columns, self.rows = chart, columns, rows
        self.dots = [[0] * columns for _ in range(rows)]
        self.texts = [[" "] * columns for _ in range(rows)]
        self.styles = [[""] * columns for _ in range(rows)]

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Column and row, counted from the top left, with fractions."""
        across, up = self.chart.x, self.chart.y
        return (
            (x - across.start) / (across.end - across.start) * (self.columns - 1e-6),
            (up.end - y) / (up.end - up.start) * (self.rows - 1e-6),
        )

    def dot(self, x: float, y: float, style: str) -> None:
        column, row = self.place(x, y)
        if 0 <= column < self.columns and 0 <= row < self.rows:
            self.dots[int(row)][int(column)] |= DOTS[int(row % 1 * 4)][int(column % 1 * 2)]
            self.styles[int(row)][int(column)] = style

    def write(self, column: int, row: int, text: str, style: str) -> None:
        for place, letter in enumerate(text, start=column):
            if 0 <= place < self.columns and 0 <= row < self.rows:
                self.texts[row][place], self.styles[row][place], self.dots[row][place] = letter, style, 0

    def lines(self) -> Iterator[Text]:
        for dots, texts, styles in zip(self.dots, self.texts, self.styles, strict=True):
            line = Text()
            for bits, text, style in zip(dots, texts, styles, strict=True):
                line.append(chr(0x2800 + bits) if bits else text, style)
            yield line


def draw(chart: Chart, console: Console) -> Iterator[RenderableType]:
    """The chart as rich renderables: title, sentence, plot, legend, and its numbers as a table."""
    yield Text(chart.title, style="bold")
    yield Text(chart.sentence)
    yield Text("")
    yield Text(chart.y.title, style="dim")
    yield from _plot(chart, console.width)
    yield Text("  " + "   ".join(_legend(chart)), style="dim")
    yield Text("")
    yield _table(chart)


def _plot(chart: Chart, width: int) -> Iterator[Text]:
    ticks = chart.y.ticks()
    margin = max(len(text) for _, text in ticks)
    columns = max(LEAST_COLUMNS, min(MOST_COLUMNS, width - margin - 3))
    canvas = Canvas(chart, columns, ROWS)
    _span(canvas)
    _rules(canvas)
    for number, series in enumerate(chart.series):
        _series(canvas, series, STYLES[number % 2], MARKS[number % 2])
    labels = {int(canvas.place(0, value)[1]): text for value, text in ticks}
    for row, line in enumerate(canvas.lines()):
        yield Text(f"{labels.get(row, ''):>{margin}} {'┤' if row in labels else '│'}", style="dim") + line
    yield from _x_axis(canvas, margin)


def _x_axis(canvas: Canvas, margin: int) -> Iterator[Text]:
    line, texts = ["─"] * canvas.columns, [" "] * (canvas.columns + margin)
    for value, text in canvas.chart.x.ticks():
        column = int(canvas.place(value, 0)[0])
        if column >= canvas.columns:
            continue
        line[column] = "┬"
        start = max(0, min(column - len(text) // 2, len(texts) - len(text)))
        if all(letter == " " for letter in texts[max(0, start - 1) : start + len(text)]):
            texts[start : start + len(text)] = text
    yield Text(f"{'':>{margin}} └{''.join(line)}", style="dim")
    yield Text(f"{'':>{margin}}  {''.join(texts).rstrip()}", style="dim")
    yield Text(f"{canvas.chart.x.title:>{margin + 2 + canvas.columns}}", style="dim")


def _span(canvas: Canvas) -> None:
    span = canvas.chart.span
    if span is None:
        return
    first, last = (int(canvas.place(x, 0)[0]) for x in (span.start, span.end))
    for row in range(canvas.rows):
        canvas.write(first, row, "░" * max(1, min(last, canvas.columns - 1) - first + 1), SPAN_STYLE)


def _rules(canvas: Canvas) -> None:
    """Those of the y axis have their names at the left, those of the x axis at the head, beside them."""
    for rule in canvas.chart.rules:
        column, row = (int(place) for place in canvas.place(rule.value, rule.value))
        if rule.axis == "y":
            canvas.write(0, row, "╌" * canvas.columns, RULE_STYLE)
            canvas.write(1, row, f" {rule.label} ", RULE_STYLE)
            continue
        for line in range(canvas.rows):
            canvas.write(column, line, "┊", RULE_STYLE)
        beside = column + 2 if column + 2 + len(rule.label) <= canvas.columns else column - 1 - len(rule.label)
        canvas.write(beside, 0, rule.label, RULE_STYLE)


def _series(canvas: Canvas, series: Series, style: str, mark: str) -> None:
    if series.kind == "line":
        _line(canvas, series, style)
    elif series.labels:
        for x, y, label in inside(canvas.chart, series):
            column, row = (int(place) for place in canvas.place(x, y))
            canvas.write(column, row, mark, style)
            canvas.write(column + 2, row, label, style)
    else:
        for x, y, _ in inside(canvas.chart, series):
            canvas.dot(x, y, style)


def _line(canvas: Canvas, series: Series, style: str) -> None:
    points = list(zip(series.x, series.y, strict=True))
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        (c0, r0), (c1, r1) = canvas.place(x0, y0), canvas.place(x1, y1)
        steps = max(1, min(4000, int(max(abs(c1 - c0) * 2, abs(r1 - r0) * 4) * 2)))
        for step in range(steps + 1):
            canvas.dot(x0 + (x1 - x0) * step / steps, y0 + (y1 - y0) * step / steps, style)


def _legend(chart: Chart) -> Iterator[str]:
    for number, series in enumerate(chart.series):
        sign = "⠤⠒" if series.kind == "line" else MARKS[number % 2] if series.labels else "⠂⠄"
        yield f"{sign} {series.name}" + (f" ({STYLES[number % 2]})" if sign == "⠂⠄" else "")
    if chart.span:
        yield "░ 95 % interval of λ*"


def _table(chart: Chart) -> RichTable:
    table = RichTable(box=None, pad_edge=True, header_style="dim")
    for number, name in enumerate(chart.table.columns):
        table.add_column(name, justify="left" if chart.table.wordy(number) else "right")
    for row in chart.table.rows:
        table.add_row(*row)
    return table
