"""Workloads: what is read, what is drawn, what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.calibrate.workload import Lengths, Workload, workload_fixed, workload_read
from engine.errors import InputError

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.68,374,44\n2023-11-16 18:15:50.99,396,109\n"
MOONCAKE = (
    '{"timestamp": 0, "input_length": 40, "output_length": 6, "hash_ids": [0]}\n\n{"timestamp": 9, '
    '"input_length": 400, "output_length": 60}\n'
)


def read(folder: Path, content: Any) -> Workload:
    path = folder / "workload.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return workload_read(path)


def test_means_of_a_case_are_run_as_fixed_lengths(tmp_path: Path) -> None:
    workload = read(tmp_path, {"input_tokens": {"mean": 1155.4}, "output_tokens": {"mean": 211}, "burstiness": 0.5})
    assert workload == workload_fixed(1155, 211, burstiness=0.5)
    assert workload.kind == "fixed"


def test_a_mix_is_drawn_by_weight_and_jointly(tmp_path: Path) -> None:
    mix = [{"input": 10, "output": 1, "weight": 3}, {"input": 20, "output": 2, "weight": 1}]
    workload = read(tmp_path, {"mix": mix})
    assert workload.mean == (12.5, 1.25)
    drawn = workload.sample(4000, np.random.default_rng(1))
    assert set(drawn) == {Lengths(10, 1), Lengths(20, 2)}, "an input went with another one's output"
    assert drawn.count(Lengths(10, 1)) == pytest.approx(3000, abs=120)


@pytest.mark.parametrize(("name", "content"), [("t.csv", AZURE), ("t.jsonl", MOONCAKE)])
def test_traces_of_both_kinds(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    workload = read(tmp_path, {"trace": name})
    assert len(workload.lengths) == 2
    assert workload.trace == name
    assert workload.trace_sha256 is not None
    assert read(tmp_path, {"input_tokens": {"trace": name}, "output_tokens": {"trace": name}}) == workload
    expected = {"t.csv": (385.0, 76.5), "t.jsonl": (220.0, 33.0)}
    assert workload.mean == expected[name]


BAD: list[tuple[Any, str, str]] = [
    ("{", "not JSON", "workload.json"),
    ([], "list", "JSON object"),
    ({}, "none", "exactly one"),
    ({"mix": [], "trace": "t.csv"}, "mix and trace", "exactly one"),
    ({"lengths": 3}, "lengths", "input_tokens"),
    ({"input_tokens": {"mean": 5}}, "output_tokens is null", '{"mean": tokens}'),
    ({"input_tokens": {"mean": 0}, "output_tokens": {"mean": 5}}, "input_tokens.mean", "above 0"),
    ({"input_tokens": {"mean": 0.2}, "output_tokens": {"mean": 5}}, "input_tokens is 0", "at least 1"),
    ({"input_tokens": {"mean": 5}, "output_tokens": {"trace": "t.csv"}}, "output_tokens", "same trace"),
    ({"mix": []}, "mix", "at least one"),
    ({"mix": [{"input": 1, "output": 1}]}, "mix[0]", "weight"),
    ({"mix": [{"input": 1.5, "output": 1, "weight": 1}]}, "mix[0].input is 1.5", "whole number"),
    ({"mix": [{"input": 1, "output": 1, "weight": -1}]}, "mix[0].weight is -1", "above 0"),
    ({"mix": [{"input": 1, "output": 1, "weight": True}]}, "mix[0].weight is True", "number above 0"),
    ({"trace": "none.csv"}, "none.csv", "can't be read"),
    ({"trace": 7}, "trace is 7", "path"),
    ({"trace": "empty.jsonl"}, "empty.jsonl", "at least one"),
    ({"trace": "header.csv"}, "header.csv line 1", "TIMESTAMP,ContextTokens,GeneratedTokens"),
    ({"trace": "short.csv"}, "short.csv line 3", "must be 3"),
    ({"trace": "zero.csv"}, "zero.csv line 2: GeneratedTokens is '0'", "at least 1"),
    ({"trace": "text.jsonl"}, "text.jsonl line 2", "JSON object"),
    ({"trace": "missing.jsonl"}, "missing.jsonl line 1", "output_length"),
    ({"trace": "long.jsonl"}, "long.jsonl line 1: input_length is '1e+400'", "whole number"),
    ({"input_tokens": {"mean": 5}, "output_tokens": {"mean": 5}, "burstiness": 0}, "burstiness is 0", "above 0"),
    ({"trace": "t.csv", "prefix_hit_share": 0.3}, "prefix_hit_share is 0.3", "only 0"),
]


@pytest.mark.parametrize(("content", "named", "right"), BAD)
def test_refusals_name_field_or_line_and_what_is_right(tmp_path: Path, content: Any, named: str, right: str) -> None:
    header = AZURE.splitlines()[0]
    files = {
        "t.csv": AZURE,
        "empty.jsonl": "",
        "header.csv": "time,in,out\n1,2,3\n",
        "short.csv": f"{header}\n2023,1,2\n2023,1\n",
        "zero.csv": f"{header}\n2023,1,0\n",
        "text.jsonl": MOONCAKE.splitlines()[0] + "\nhello\n",
        "missing.jsonl": '{"input_length": 3}\n',
        "long.jsonl": '{"input_length": "1e+400", "output_length": 1}\n',
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as refusal:
        read(tmp_path, content)
    assert named in str(refusal.value)
    assert right in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json can't be read"):
        workload_read(tmp_path / "none.json")
