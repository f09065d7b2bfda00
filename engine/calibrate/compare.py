"""`python -m engine.calibrate.compare A B`: two records side by side."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.calibrate.comparison import Comparison, compare
from engine.calibrate.record import record_read
from engine.errors import InputError

HASH_SHOWN = 12
WIDTH = 34  # of a column of values; what is longer is cut
IDENTITY = {
    "created_at": "made",
    "tool": "by",
    "tier": "tier",
    "basis": "basis",
    "grade": "grade",
    "minutes": "took, minutes",
    "binding": "bound by",
}


def main(arguments: list[str] | None = None) -> int:
    """Exit 0: compared, comparable or not. 2: refused, one line on standard error says why."""
    parser = argparse.ArgumentParser(
        prog="python -m engine.calibrate.compare",
        description="What differs between two calibration records, and whether their rates do.",
        allow_abbrev=False,
    )
    parser.add_argument("a", type=Path, metavar="A", help="a calibration record")
    parser.add_argument("b", type=Path, metavar="B", help="another")
    parser.add_argument("--json", action="store_true", help="as JSON")
    args = parser.parse_args(arguments)
    try:
        comparison = compare(record_read(args.a), record_read(args.b))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(comparison.to_json() if args.json else "\n".join(report(comparison)))
    return 0


def report(comparison: Comparison) -> Iterator[str]:
    """Side by side, for a person to read."""
    yield _row("", "A", "B")
    yield _row("record", comparison.a["sha256"][:HASH_SHOWN], comparison.b["sha256"][:HASH_SHOWN])
    for key, name in IDENTITY.items():
        yield _row(name, comparison.a[key], comparison.b[key])
    yield _row("requests/s", _rate(comparison.a), _rate(comparison.b))
    yield _row("saturated tokens/s", *(side["saturated_output_tokens_per_s"] for side in (comparison.a, comparison.b)))
    yield ""
    yield from in_words(comparison)
    if comparison.differences:
        yield ""
        yield "What differs"
        for line in comparison.differences:
            yield _row(line.field, line.a, line.b)
    yield from _coefficients(comparison)
    yield from _curve(comparison)


def in_words(comparison: Comparison) -> Iterator[str]:
    """What to make of the two rates."""
    if comparison.not_comparable:
        yield "The rates can't be compared:"
        yield from (f"  {reason}" for reason in comparison.not_comparable)
        return
    rate = comparison.rate
    if rate is None:
        yield "The rates can't be compared: a record states none."
        return
    interval = f"{rate.ratio:.3g} times the rate of A (95 %: {rate.low:.3g} to {rate.high:.3g})"
    if rate.differ:
        yield f"B sustains {interval}: they differ."
    else:
        yield f"B sustains {interval}: no difference that these intervals would show."
    minutes = [side["minutes"] for side in (comparison.a, comparison.b)]
    if None not in minutes and comparison.a["tier"] != comparison.b["tier"]:
        times = f"{minutes[1] / minutes[0]:.2g} times as long"
        yield f"B's rate is {100 * (rate.ratio - 1):+.1f} % off that of A, and took {times}."


def _rate(side: dict[str, Any]) -> str:
    if side["requests_per_s"] is None:
        return "none stated"
    return f"{side['requests_per_s']:.3g} ({side['low']:.3g} to {side['high']:.3g})"


def _coefficients(comparison: Comparison) -> Iterator[str]:
    if comparison.coefficients:
        yield ""
        yield _row("Step model, ms", "A", "B", "B / A")
        for term, (a, b) in comparison.coefficients.items():
            yield _row(term, f"{a:.4g}", f"{b:.4g}", f"{b / a:.2f}" if a else "")


def _curve(comparison: Comparison) -> Iterator[str]:
    if comparison.curve:
        yield ""
        yield _row("p95 at requests/s", "A", "B", "B / A")
        for name, metric in (("TTFT", "ttft_p95_ms"), ("TPOT", "tpot_p95_ms")):
            for row in comparison.curve:
                a, b = getattr(row, metric)
                yield _row(f"{name} ms at {row.requests_per_s:.3g}", f"{a:.4g}", f"{b:.4g}", f"{b / a:.2f}")


def _row(name: str, *values: Any) -> str:
    return "  ".join([f"{name:<30}", *(f"{_short(value):<{WIDTH}}" for value in values)]).rstrip()


def _short(value: Any) -> str:
    text = "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"


if __name__ == "__main__":
    sys.exit(main())
