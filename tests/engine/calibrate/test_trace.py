"""Traces: both formats become the same requests, and a line that can't be used is named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.calibrate.workload.lengths import Lengths, Span, found_share
from engine.calibrate.workload.trace import Trace, trace_read
from engine.errors import InputError

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens"
BUNDLED = Path("fixtures/traces/azure2023_conversation.csv")


def trace(folder: Path, *lines: str, name: str = "t.csv", block: int = 512) -> Trace:
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return trace_read(path, block)


def mooncake(folder: Path, *rows: dict[str, Any], block: int = 512) -> Trace:
    return trace(folder, *map(json.dumps, rows), name="t.jsonl", block=block)


def row(ms: float, prompt: int, *ids: int) -> dict[str, Any]:
    return {"timestamp": ms, "input_length": prompt, "output_length": 2, "hash_ids": list(ids)}


def test_azure_times_have_fractions_and_zones(tmp_path: Path) -> None:
    made = trace(
        tmp_path,
        HEADER,
        "2023-11-16 18:15:46.6805900,374,44",
        "2023-11-16 19:15:47.1805900+01:00,396,109",
        "2023-11-16T18:15:48Z,5,6",
    )
    assert made.lengths == (Lengths(374, 44), Lengths(396, 109), Lengths(5, 6))
    assert made.seconds == pytest.approx((0, 0.5, 1.31941), abs=1e-5)
    assert made.gaps == pytest.approx((1.31941 / 2, 0.5, 0.81941), abs=1e-5)


def test_a_log_that_lists_the_newest_first_is_put_in_order(tmp_path: Path) -> None:
    made = trace(tmp_path, HEADER, "2023-11-16 18:15:48,3,1", "2023-11-16 18:15:46,1,1", "2023-11-16 18:15:47,2,1")
    assert [pair.input for pair in made.lengths] == [1, 2, 3]
    assert made.seconds == (0, 1, 2)
    assert made.began_s == 1700158546
    assert mooncake(tmp_path, row(1500, 7), row(500, 5)).began_s is None


def test_the_content_tells_the_format_and_not_the_name(tmp_path: Path) -> None:
    assert trace(tmp_path, "", HEADER, OK, name="t.txt").lengths == (Lengths(374, 44),)
    assert trace(tmp_path, json.dumps(row(0, 5)), name="t.csv").lengths == (Lengths(5, 2),)


def test_mooncake_blocks_are_spans(tmp_path: Path) -> None:
    made = mooncake(tmp_path, row(1500, 1100, 4, 5, 6), row(3000, 1100, 4, 9), {**row(3000, 7), "hash_ids": []})
    assert made.seconds == (0, 1.5, 1.5)
    assert made.lengths[0].spans == (Span(4, 512), Span(5, 512), Span(6, 76))
    assert made.lengths[1].spans == (Span(4, 512), Span(9, 512)), "a last part of a block may have no id"
    assert made.lengths[1].own == 76
    assert made.lengths[2] == Lengths(7, 2)
    assert found_share(made.lengths) == 512 / 2207
    small = mooncake(tmp_path, row(0, 20, 1, 2), block=16)
    assert small.lengths[0].spans == (Span(1, 16), Span(2, 4))


def test_equal_prompts_are_found_but_for_their_last_token() -> None:
    same = Lengths(100, 1, (Span(3, 64), Span(4, 36)))
    longer = Lengths(300, 1, (Span(3, 64), Span(4, 64)))
    assert found_share([same, same]) == 99 / 200
    assert found_share([same, longer]) == 100 / 400, "of a block that was shorter before, that much"
    assert found_share([longer, Lengths(10, 1)]) == 0


def test_the_bundled_trace() -> None:
    """19,366 requests in 58 minutes, as its README says."""
    made = trace_read(BUNDLED)
    assert len(made.lengths) == 19_366
    assert made.seconds[-1] == pytest.approx(58 * 60, rel=0.02)
    assert sum(pair.input for pair in made.lengths) / 19_366 == pytest.approx(1155, abs=1)


OK = "2023-11-16 18:15:46,374,44"


@pytest.mark.parametrize(
    ("lines", "named", "right"),
    [
        (["time,in,out", "1,2,3"], "line 1: 'time,in,out' begins no trace", HEADER),
        ([HEADER], "no requests", "at least one"),
        ([HEADER, OK, "2023-11-16 18:15:47,1"], "line 3: 2 columns", "must be 3"),
        ([HEADER, OK, "yesterday,1,1"], "line 3: TIMESTAMP is 'yesterday'", "2023-11-16 18:15:46.68"),
        ([HEADER, "", OK.replace("44", "0")], "line 3: GeneratedTokens is '0'", "from 1 to"),
        ([HEADER, OK.replace("374", "-5")], "line 2: ContextTokens is '-5'", "whole number"),
        ([HEADER, OK.replace("374", "12.5")], "line 2: ContextTokens is '12.5'", "whole number"),
        ([HEADER, OK.replace("374", "99999999")], "line 2: ContextTokens is '99999999'", "to 10,000,000"),
    ],
)
def test_azure_refusals(tmp_path: Path, lines: list[str], named: str, right: str) -> None:
    refused(lambda: trace(tmp_path, *lines), named, right)


@pytest.mark.parametrize(
    ("line", "named", "right"),
    [
        ("hello", "line 2: not JSON", "JSON object"),
        ("[1]", "line 2: timestamp, input_length", "must be there"),
        ('{"timestamp": 2, "input_length": 3}', "output_length", "must be there"),
        ('{"timestamp": NaN, "input_length": 3, "output_length": 1}', "timestamp is 'nan'", "milliseconds"),
        ('{"timestamp": Infinity, "input_length": 3, "output_length": 1}', "timestamp is 'inf'", "milliseconds"),
        ('{"timestamp": -1, "input_length": 3, "output_length": 1}', "timestamp is '-1'", "milliseconds"),
        ('{"timestamp": true, "input_length": 3, "output_length": 1}', "timestamp is 'True'", "milliseconds"),
        ('{"timestamp": 9, "input_length": 1e400, "output_length": 1}', "input_length is 'inf'", "whole number"),
        ('{"timestamp": 9, "input_length": 0, "output_length": 1}', "input_length is '0'", "from 1 to"),
        ('{"timestamp": 9, "input_length": 3, "output_length": 1, "hash_ids": 5}', "hash_ids", "list"),
        ('{"timestamp": 9, "input_length": 3, "output_length": 1, "hash_ids": [-5]}', "hash_ids", "from 0 up"),
        (
            json.dumps(row(9, 2000, 1, 2)),
            "hash_ids has 2 ids; 2000 tokens in blocks of 512 have 4",
            "hash_block_tokens",
        ),
        ("[" * 100_000, "line 2: not JSON", "JSON object"),
    ],
)
def test_mooncake_refusals(tmp_path: Path, line: str, named: str, right: str) -> None:
    refused(lambda: trace(tmp_path, json.dumps(row(5, 3)), line, name="t.jsonl"), named, right)


def refused(read: Callable[[], object], named: str, right: str) -> None:
    with pytest.raises(InputError) as refusal:
        read()
    assert named in str(refusal.value)
    assert right in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes(b"\xff\xfe\x00\x01")
    refused(lambda: trace_read(tmp_path / "t.jsonl"), "can't be read", "Mooncake")
    refused(lambda: trace_read(tmp_path), "can't be read", "Azure")
