"""Defects planted into a copy of the kernels, each of which the test made for it must catch.

A kernel's source is read by Triton from its file, so each defect is tried on a copy of the tree, by pytest in a process
of its own.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEFECTS = {
    "decode reads a slot too many": (
        "decode.py",
        "tl.zeros([ROWS], tl.int32) + length - 1,",
        "tl.zeros([ROWS], tl.int32) + length,",
        "test_off_by_one_in_the_last_block",
    ),
    "decode leaves the last token out": (
        "decode.py",
        "tl.minimum(start + part * TILE, length),",
        "tl.minimum(start + part * TILE, length - 1),",
        "test_off_by_one_in_the_last_block",
    ),
    "prefill takes a tile for seen by every row that is not": (
        "prefill.py",
        "inner_to = (earliest + 1) // TILE * TILE",
        "inner_to = (latest + 1) // TILE * TILE",
        "test_missing_mask_of_a_later_token",
    ),
    "later tokens are not masked": (
        "attention.py",
        "visible = positions[None, :] <= query_positions[:, None]",
        "visible = positions[None, :] < stop + 0 * query_positions[:, None]",
        "test_missing_mask_of_a_later_token",
    ),
    "the window is not masked": (
        "attention.py",
        "visible &= positions[None, :] > query_positions[:, None] - WINDOW",
        "visible &= positions[None, :] >= query_positions[:, None] - WINDOW",
        "test_missing_mask_of_a_later_token",
    ),
    "parts are merged as if they were alike": (
        "decode.py",
        "shares = tl.exp2(size - tl.max(size, 0))",
        "shares = tl.where(splits < used, 1.0, 0.0)",
        "test_wrong_split_merge",
    ),
    "a part's share forgets how much it added up": (
        "decode.py",
        "tl.store(sizes + place, peak + tl.log2(total), mask=real)",
        "tl.store(sizes + place, peak, mask=real)",
        "test_wrong_split_merge",
    ),
}


def run_tests(folder: Path, name: str) -> subprocess.CompletedProcess[str]:
    plain = ["-q", "-x", "-p", "no:django", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *plain, "test_attention.py", "-k", name]
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def copied_tree(folder: Path) -> Path:
    shutil.copytree(ROOT / "kernels", folder / "kernels", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "tests" / "kernels" / "test_attention.py", folder)
    return folder


def test_the_copy_passes_as_it_is(tmp_path: Path) -> None:
    names = sorted({defect[3] for defect in DEFECTS.values()})
    done = run_tests(copied_tree(tmp_path), " or ".join(names))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_is_caught_by_name(defect: str, tmp_path: Path) -> None:
    file, right, wrong, name = DEFECTS[defect]
    kernel = copied_tree(tmp_path) / "kernels" / file
    source = kernel.read_text()
    assert source.count(right) == 1, f"{file} has changed: plant the defect anew"
    kernel.write_text(source.replace(right, wrong))
    done = run_tests(tmp_path, name)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"FAILED test_attention.py::{name}" in done.stdout
