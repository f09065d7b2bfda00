"""`benchmarks/tune.py` with Triton's interpreter, and what it makes of the table."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import tune
from kernels import tuning

ROOT = Path(__file__).parents[2]


def test_a_dry_run_writes_a_table_that_the_kernels_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "tuning.json"
    command = ["benchmarks/tune.py", "--dry-run", "--kernel", "decode", "linear", "--head-dim", "16", "--group", "2"]
    command += ["--out", str(out)]
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    table = json.loads(out.read_text())
    [entry] = table["measured"]
    assert entry["kernels"] == ["decode", "linear"]
    assert entry["torch"] == torch.__version__
    old = json.loads(tuning.PATH.read_text())
    assert table["rules"]["prefill"] == old["rules"]["prefill"]
    assert table["rules"]["decode"][-2:] == old["rules"]["decode"]
    monkeypatch.setattr(tuning, "TABLE", table["rules"])
    chosen = tuning.choose("decode", capability=90, batch=1, group=2, head_dim=16)
    assert chosen == table["rules"]["decode"][0]["use"]
    assert tuning.choose("decode", capability=80, batch=1, group=2, head_dim=16) == old["rules"]["decode"][0]["use"]


def test_the_table_says_that_nobody_has_measured_it() -> None:
    assert json.loads(tuning.PATH.read_text())["measured"] == []


def test_rules_that_say_the_same_become_one_and_old_ones_of_the_capability_go() -> None:
    def cell(**when: int) -> tune.Cell:
        return tune.Cell("decode", when, {}, lambda: iter(()))

    stale = {"when": {"capability_min": 90, "capability_max": 90}, "use": {"tile": 1}}
    rest = {"when": {}, "use": {"tile": 2}}
    old = {"measured": [{"gpu": "another"}], "rules": {"decode": [stale, rest], "linear": [rest]}}
    found = [
        (cell(head_dim_max=64, batch_max=1), {"tile": 32}),
        (cell(head_dim_max=64, batch_max=8), {"tile": 32}),
        (cell(head_dim_max=64), {"tile": 64}),
        (cell(head_dim_max=128, batch_max=1), {"tile": 64}),
    ]
    made = tune.table(old, found, 90, {"gpu": "this"})
    assert [(rule["when"].get("batch_max"), rule["use"]["tile"]) for rule in made["rules"]["decode"]] == [
        (8, 32),
        (None, 64),
        (1, 64),
        (None, 2),
    ]
    assert made["rules"]["linear"] == [rest]
    assert made["measured"] == [{"gpu": "another"}, {"gpu": "this", "kernels": ["decode"]}]
    assert json.loads(tune.written(made)) == made


def test_candidates_that_fail_or_disagree_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    def run(use: tune.Use) -> torch.Tensor:
        if use["warps"] == 2:
            raise RuntimeError("out of resources: shared memory")
        return torch.full((3,), 5.0 if use["warps"] == 8 else 1.0)

    cell = tune.Cell("linear", {}, {"warps": (1, 2, 8)}, lambda: iter([tune.Case(run, None)]))
    assert tune.tune(tune.TOY._replace(candidates=3), cell) == {"warps": 1}
    told = capsys.readouterr().err
    assert "{'warps': 2}: RuntimeError: out of resources" in told
    assert "{'warps': 8}: RuntimeError: its output is not what is wanted" in told


def test_a_first_candidate_that_writes_nothing_or_rubbish_does_not_win(capsys: pytest.CaptureFixture[str]) -> None:
    out = torch.zeros(3)

    def run(use: tune.Use) -> torch.Tensor:
        return out if use["warps"] == 1 else out.fill_(1.0 if use["warps"] == 4 else 7.0)

    cell = tune.Cell("decode", {}, {"warps": (1, 2, 4)}, lambda: iter([tune.Case(run, out, torch.ones(2))]))
    assert tune.tune(tune.TOY._replace(candidates=3), cell) == {"warps": 4}
    told = capsys.readouterr().err
    assert "{'warps': 1}: RuntimeError: its output is not finite" in told
    assert "{'warps': 2}: RuntimeError: its output is not what is wanted" in told


def test_every_candidate_of_the_decode_kernel_fits_the_block() -> None:
    """Tiles divide blocks, and what one is called is a field of its launch."""
    for tile in tune.DECODE["tile"]:
        use = {name: values[0] for name, values in tune.DECODE.items()} | {"tile": tile}
        assert tuning.decode_by(use, tuning.ABSENT, 1, 8).tile == tile
        assert 64 % tile == 0
    assert set(tune.PREFILL) == set(tuning.PrefillLaunch.__slots__)
    assert set(tune.LINEAR) == set(tuning.LinearLaunch.__slots__)
