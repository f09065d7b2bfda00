"""Compile every kernel as its launcher would on a GPU of the given capabilities, and print what each takes as JSON.

    python -m tests.kernels.compile_kernels 80 90 100

No GPU is needed: launches are intercepted on tensors without memory. Runs in a process of its own, because the
interpreter must be off. Resources are read from the compiled code with the cuobjdump that comes with Triton; STACK is
where registers spill to.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch
import triton
from torch import Tensor
from triton.backends import nvidia
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from kernels import decode, prefill, tuning
from kernels.attention import PagedRows

CUOBJDUMP = Path(nvidia.__file__).parent / "bin" / "cuobjdump"
VOCABULARY = 151_936
RUN = JITFunction.run


class Usage(NamedTuple):
    capability: int
    kernel: str
    case: str
    warps: int
    registers: int
    spilled_bytes: int
    shared_bytes: int


class AbsentGpu:
    """What Triton asks its driver before compiling."""

    def __init__(self, capability: int) -> None:
        self.target = GPUTarget("cuda", capability, 32)

    def get_current_target(self) -> GPUTarget:
        return self.target

    def get_current_device(self) -> int:
        return int(self.target.arch)  # a kernel cache each

    def get_current_stream(self, device: int) -> int:
        return 0


def empty(*shape: int, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def integers(*shape: int) -> Tensor:
    return empty(*shape, dtype=torch.int32)


def attention(kind: Callable[..., None], head_dim: int, group: int, batch: int = 8, **options: Any) -> None:
    """Attention of `batch` sequences, with 8 KV heads, blocks of 64 and bfloat16 (or the KV dtype of `options`)."""
    tokens = batch * (1 if kind is decode.decode_attention else 512)
    cache = empty(2, 1000, 8, 64, head_dim, dtype=options.pop("kv", torch.bfloat16))
    queries = empty(tokens, 8 * group, head_dim)
    rows = PagedRows(integers(batch), integers(batch + 1), integers(batch), integers(256, 512))
    kind(queries, cache, rows, 0.1, torch.empty_like(queries), **options)


FLOAT8: dict[str, Any] = {"kv": torch.float8_e4m3fn, "kv_scales": empty(2, 8, dtype=torch.float32)}
CASES: dict[str, Callable[[], Any]] = {
    "D64 group 1": lambda: attention(decode.decode_attention, 64, 1),
    "D128 group 4": lambda: attention(decode.decode_attention, 128, 4),
    "D128 group 4, one split": lambda: attention(decode.decode_attention, 128, 4, batch=256),
    "D128 group 4, window": lambda: attention(decode.decode_attention, 128, 4, window=4096),
    "D256 group 8": lambda: attention(decode.decode_attention, 256, 8),
    "prefill D64 group 1": lambda: attention(prefill.prefill_attention, 64, 1),
    "prefill D128 group 4": lambda: attention(prefill.prefill_attention, 128, 4),
    "prefill D128 group 4, window": lambda: attention(prefill.prefill_attention, 128, 4, window=4096),
    "prefill D256 group 8": lambda: attention(prefill.prefill_attention, 256, 8),
}
# Triton reads and writes this format from compute capability 8.9 on.
FLOAT8_CASES: dict[str, Callable[[], Any]] = {
    "D128 group 4, float8 KV": lambda: attention(decode.decode_attention, 128, 4, **FLOAT8),
    "prefill D128 group 4, float8 KV": lambda: attention(prefill.prefill_attention, 128, 4, **FLOAT8),
}


def measure(capability: int) -> list[Usage]:
    """Run every launcher as if on a GPU of `capability` with 132 multiprocessors."""
    driver.set_active(AbsentGpu(capability))
    usages: dict[Usage, None] = {}
    for case, launch in (CASES | (FLOAT8_CASES if capability >= 89 else {})).items():

        def compile_only(kernel: Any, *args: Any, grid: Any, warmup: bool, case: str = case, **options: Any) -> None:
            compiled = RUN(kernel, *args, grid=grid, warmup=True, **options)
            name = kernel.__name__.strip("_")
            usages[Usage(capability, name, case, compiled.metadata.num_warps, *resources(compiled))] = None

        with (
            mock.patch.object(JITFunction, "run", compile_only),
            mock.patch.object(tuning, "device_of", return_value=tuning.Device(132, capability)),
        ):
            launch()
    return list(usages)


def resources(compiled: triton.compiler.CompiledKernel) -> tuple[int, int, int]:
    """Registers a thread, bytes a thread spills, bytes of shared memory a program."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        told = subprocess.run([CUOBJDUMP, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    [(registers, stack)] = re.findall(r"REG:(\d+) STACK:(\d+)", told)
    return int(registers), int(stack), compiled.metadata.shared


if __name__ == "__main__":
    for asked in sys.argv[1:]:
        for usage in measure(int(asked)):
            print(json.dumps(usage._asdict()))
