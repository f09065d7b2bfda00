"""Workloads: what is read, what is drawn, what is refused."""

import hashlib
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


def test_pairs_that_have_a_name(tmp_path: Path) -> None:
    workload = read(tmp_path, {"preset": "8k/1k", "burstiness": 0.5})
    assert (workload.kind, workload.mean, workload.burstiness) == ("fixed", (8192, 1024), 0.5)
    assert workload.preset == "8k/1k"
    assert workload_read(Path("2k/128")).lengths == (Lengths(2048, 128),), "a name alone is as good as a file"


def test_a_lognormal_has_the_mean_and_the_p95_asked_for(tmp_path: Path) -> None:
    both = {"input_tokens": {"mean": 1155, "p95": 3500}, "output_tokens": {"mean": 211, "p95": 500}}
    workload = read(tmp_path, both)
    assert workload.kind == "distribution"
    assert workload.mean == pytest.approx((1155, 211), rel=1e-3)
    drawn = workload.sample(20_000, np.random.default_rng(1))
    inputs, outputs = (np.array([pair[place] for pair in drawn]) for place in (0, 1))
    assert np.percentile(inputs, 95) == pytest.approx(3500, rel=0.05)
    assert np.percentile(outputs, 95) == pytest.approx(500, rel=0.05)
    assert abs(np.corrcoef(inputs, outputs)[0, 1]) < 0.03, "nothing was said of which go together"
    assert inputs.std() / inputs.mean() == pytest.approx(1.1, abs=0.2), "sigma is about 0.9, so that the tail is long"


def test_histograms_of_a_resolved_case(tmp_path: Path) -> None:
    inputs = {"histogram": [{"tokens": 100, "share": 0.25}, {"tokens": 900.4, "share": 0.75}]}
    workload = read(tmp_path, {"input_tokens": inputs, "output_tokens": {"mean": 20}})
    assert workload.lengths == (Lengths(100, 20), Lengths(900, 20))
    assert workload.mean == (700, 20)


def test_a_hit_share_that_is_given_replaces_what_a_trace_says(tmp_path: Path) -> None:
    row = {"timestamp": 0, "input_length": 600, "output_length": 5, "hash_ids": [7, 8]}
    (tmp_path / "t.jsonl").write_text("\n".join([json.dumps(row)] * 4))
    by_ids = read(tmp_path, {"trace": "t.jsonl"})
    assert by_ids.by_hash_ids
    assert by_ids.prefix_hit_share == pytest.approx(3 / 4, abs=0.002), "all but the first, and but their last token"
    rounds = [pair.spans for pair in by_ids.sample(7, np.random.default_rng(1))]
    assert len(set(rounds)) == 2, "the same prompts are not sent in a second round"
    given = read(tmp_path, {"trace": "t.jsonl", "prefix_hit_share": 0.3})
    assert not given.by_hash_ids
    assert given.prefix_hit_share == given.content.prefix_share == 0.3
    none = read(tmp_path, {"trace": "t.jsonl", "prefix_hit_share": 0})
    assert none.prefix_hit_share == 0
    assert not any(pair.spans for pair in none.lengths)


def test_a_traces_order_is_kept_where_it_matters(tmp_path: Path) -> None:
    rows = [{"timestamp": 1000 * n * n, "input_length": n + 1, "output_length": 1} for n in range(100)]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    replay = read(tmp_path, {"trace": "t.jsonl", "arrivals": "trace"})
    lengths, arrivals = replay.traffic(30, np.random.default_rng(1))
    first = lengths[0].input - 1
    assert [pair.input - 1 for pair in lengths] == [(first + place) % 100 for place in range(30)]
    assert arrivals[-1] == pytest.approx(30), "stretched to one request a second"
    seconds = [n * n for n in range(first, first + 30)]
    assert first + 30 <= 100, "take another seed: this stretch goes round the trace's end"
    assert np.diff(arrivals) / np.diff(seconds) == pytest.approx(np.diff(arrivals)[0] / np.diff(seconds)[0])
    assert 1 < replay.burstiness < 10, "gaps that grow evenly vary less than Poisson's"
    longer, late = replay.traffic(250, np.random.default_rng(3))
    assert (len(longer), len(late)) == (250, 250)
    assert longer[0].input == longer[100].input == longer[200].input, "from its first again at its end"
    shuffled = read(tmp_path, {"trace": "t.jsonl"}).sample(30, np.random.default_rng(3))
    assert [pair.input for pair in shuffled] != sorted(pair.input for pair in shuffled)


def test_a_text_is_named_by_its_hash(tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_text("To be, or not to be")
    corpus = read(tmp_path, {"preset": "512/256", "text": "corpus.txt"}).content.corpus
    assert corpus is not None
    assert corpus.name == "corpus.txt"
    assert corpus.sha256 == hashlib.sha256(b"To be, or not to be").hexdigest()


MEANS = {"input_tokens": {"mean": 5}, "output_tokens": {"mean": 5}}
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
    ({"trace": None}, "trace is null", "path"),
    ({"trace": "a\0b.csv"}, "can't be read", "Mooncake"),
    ({"preset": "1k/1k", "output_tokens": {"mean": 5}}, "it has preset and output_tokens", "exactly one"),
    ({"trace": "empty.jsonl"}, "empty.jsonl", "at least one"),
    ({"input_tokens": {"mean": 5}, "output_tokens": {"mean": 5}, "burstiness": 0}, "burstiness is 0", "above 0"),
    ({"preset": "9k/9k"}, 'preset is "9k/9k"', "8k/1k"),
    ({"preset": ["8k/1k"]}, "preset is", "8k/1k"),
    ({"input_tokens": {"mean": 1e9}, "output_tokens": {"mean": 5}}, "input_tokens is 1000000000", "at most 10,000,000"),
    ({"input_tokens": {"mean": 5, "p95": 4}, "output_tokens": {"mean": 5}}, "input_tokens.p95 is 4", "above the mean"),
    ({"input_tokens": {"mean": 5, "p95": 90}, "output_tokens": {"mean": 5}}, "p95 is 90", "at most 3.87 times"),
    ({"input_tokens": {"p95": 90}, "output_tokens": {"mean": 5}}, 'input_tokens is {"p95": 90}', '{"mean": tokens}'),
    ({"input_tokens": {"histogram": []}, "output_tokens": {"mean": 5}}, "input_tokens.histogram", "at least one"),
    ({"input_tokens": {"histogram": [{"tokens": 5}]}, "output_tokens": {"mean": 5}}, "histogram[0]", "share"),
    (
        {"input_tokens": {"histogram": [{"tokens": 5, "share": 0.7}]}, "output_tokens": {"mean": 5}},
        "input_tokens.histogram sum to 0.7",
        "must sum to 1",
    ),
    ({"trace": "t.csv", "prefix_hit_share": 1}, "prefix_hit_share is 1", "under 1"),
    ({"trace": "t.csv", "prefix_hit_share": "half"}, "prefix_hit_share is 'half'", "under 1"),
    ({"trace": "t.csv", "arrivals": "poisson"}, 'arrivals is "poisson"', '"trace"'),
    ({"trace": "t.csv", "arrivals": "trace", "burstiness": 1}, "burstiness", "leave one of them out"),
    ({"trace": "once.jsonl", "arrivals": "trace"}, "once.jsonl: all requests come at once", "leave arrivals out"),
    ({"trace": "t.csv", "hash_block_tokens": 0}, "hash_block_tokens is 0", "at least 1"),
    (MEANS | {"arrivals": "trace"}, 'arrivals is "trace"', "give a trace"),
    (MEANS | {"hash_block_tokens": 16}, "hash_block_tokens is 16", "give a trace"),
    (MEANS | {"text": "none.txt"}, "none.txt can't be read", "text file"),
    (MEANS | {"text": "bytes.txt"}, "bytes.txt can't be read", "UTF-8"),
    (MEANS | {"text": "blank.txt"}, "blank.txt is empty", "some text"),
    (MEANS | {"text": "."}, "can't be read", "text file"),
    (MEANS | {"text": 5}, "text is 5", "path"),
]


@pytest.mark.parametrize(("content", "named", "right"), BAD)
def test_refusals_name_the_field_and_what_is_right(tmp_path: Path, content: Any, named: str, right: str) -> None:
    files = {"t.csv": AZURE, "empty.jsonl": "", "once.jsonl": MOONCAKE.splitlines()[0], "blank.txt": " \n"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError) as refusal:
        read(tmp_path, content)
    assert named in str(refusal.value)
    assert right in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json can't be read.*1k/1k"):
        workload_read(tmp_path / "none.json")
