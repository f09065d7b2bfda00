"""Every kernel compiled for three generations of GPU, ahead of time: what it takes of a multiprocessor is bounded."""

import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from kernels import tuning

CAPABILITIES = ("80", "90", "100")  # A100, H100 and H200, B200
REGISTERS = {"prefill": 255, "decode": 128, "grouped_kernel": 192, "quantized_linear": 192}
REGISTERS_ELSEWHERE = 80
REGISTERS_OF_FLOAT8_DECODE = 176
SHARED_BYTES = {80: 99 << 10, 90: 227 << 10, 100: 227 << 10}  # 99 KiB is what the smaller GPUs of 8.x have

COLUMNS = ("capability", "kernel", "case", "warps", "registers", "spilled_bytes", "shared_bytes")
TABLE_ROW = "{:>10} {:17} {:32} {:>5} {:>9} {:>13} {:>12}"


def test_no_kernel_spills_or_outgrows_its_bounds(record_property: Callable[[str, object], None]) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "tests.kernels.compile_kernels", *CAPABILITIES]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    usages = [json.loads(line) for line in done.stdout.splitlines()]
    record_property(
        "table", "\n".join(TABLE_ROW.format(*row) for row in [COLUMNS, *(usage.values() for usage in usages)])
    )

    kernels = {usage["kernel"] for usage in usages}
    assert {"decode", "merge", "prefill", "rope_and_write_kv", "sample", "build_inputs", "grouped_kernel"} <= kernels
    assert {usage["capability"] for usage in usages} == set(map(int, CAPABILITIES))
    assert [usage for usage in usages if usage["spilled_bytes"] > 0] == []
    assert [usage for usage in usages if usage["registers"] > _registers(usage)] == []
    assert [usage for usage in usages if usage["shared_bytes"] > SHARED_BYTES[usage["capability"]]] == []


def _registers(usage: dict[str, str]) -> int:
    if usage["kernel"] == "decode" and "float8" in usage["case"]:
        return REGISTERS_OF_FLOAT8_DECODE
    return REGISTERS.get(usage["kernel"], REGISTERS_ELSEWHERE)


def test_every_batch_finds_a_rule_and_splits_fill_the_gpu() -> None:
    device = tuning.Device(multiprocessors=132, capability=90)
    for batch in range(1, 513):
        launch = tuning.decode(device, batch, kv_heads=8, group=4, head_dim=128)
        programs = batch * 8 * launch.splits
        assert launch.splits & (launch.splits - 1) == 0
        assert programs >= 132 or launch.splits == 32
    assert tuning.decode(device, 512, kv_heads=8, group=4, head_dim=128).splits == 1


def test_a_table_without_a_last_rule_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tuning.TABLE, "linear", [{"when": {"tokens_max": 4}, "use": {}}])
    with pytest.raises(LookupError, match=r"no rule of 'linear' for .*'tokens': 5"):
        tuning.choose("linear", tokens=5)
