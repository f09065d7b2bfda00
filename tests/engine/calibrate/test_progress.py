"""Progress: lines for programs, a bar for people."""

import io
import json
import re

from rich.console import Console

from engine.calibrate.progress import Bar, Lines, reporter


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_is_json_with_the_names_it_always_had() -> None:
    stream = io.StringIO()
    report = reporter(stream)
    assert isinstance(report, Lines)
    report("step_map", 41.234, "L3: 4 at a time", {"seconds_left": 70, "output_tokens_per_s": 93.5})
    assert json.loads(stream.getvalue()) == {
        "phase": "step_map", "percent": 41.2, "message": "L3: 4 at a time", "seconds_left": 70,
        "output_tokens_per_s": 93.5,
    }  # fmt: skip


def test_a_terminal_shows_phase_percent_time_left_and_speed() -> None:
    stream = Terminal()
    assert isinstance(reporter(stream), Bar)
    bar = Bar(Console(file=stream, force_terminal=True, width=120, legacy_windows=False))
    bar("step_map", 41.2, "L3: 4 at a time [not markup]", {"seconds_left": 70, "output_tokens_per_s": 93.5})
    bar("done", 100.0, "7.3 requests/s", {"flags": ["others took 20 % of the CPU"]})
    shown = stream.getvalue()
    for expected in (
        "step map",
        "41%",
        "1:10 left",
        "93.5 tok/s",
        "L3: 4 at a time [not markup]",
        "7.3 requests/s",
        "! others took 20 %",
    ):
        assert expected in shown


def test_a_long_message_does_not_squeeze_the_bar() -> None:
    stream = Terminal()
    bar = Bar(Console(file=stream, force_terminal=True, width=80, legacy_windows=False))
    message = "L7: other processes took 31 % of the CPU; once more, " + "and " * 40
    bar("step_map", 41.2, message, {"seconds_left": 70, "output_tokens_per_s": 93.5})
    bar.close()
    first, second = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue()).strip().splitlines()[-2:]
    for expected in ("step map", "━" * 9, "41%", "1:10 left", "93.5 tok/s"):
        assert expected in first
    assert second.strip().startswith("L7: other processes took 31 %")
    assert len(second.strip()) <= 80
