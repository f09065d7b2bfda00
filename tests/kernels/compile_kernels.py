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

from kernels import decode, inputs, matmul, mlp, moe, norm, prefill, rope, sample, tuning
from kernels.attention import PagedRows
from kernels.inputs import RequestRows, StepInputs
from kernels.reference import SamplingRows

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


def wide(*shape: int) -> Tensor:
    return empty(*shape, dtype=torch.int64)


def attention(
    kind: Callable[..., None],
    head_dim: int,
    group: int,
    batch: int = 8,
    each: int = 512,
    kv: torch.dtype = torch.bfloat16,
    **options: Any,
) -> None:
    """Attention of `batch` sequences, with 8 KV heads and blocks of 64; chunks of `each` tokens where it is prefill."""
    cache = empty(2, 1000, 8, 64, head_dim, dtype=kv)
    queries = empty(batch * each, 8 * group, head_dim)
    rows = PagedRows(integers(batch), integers(batch + 1), integers(batch), integers(256, 512))
    kind(queries, cache, rows, 0.1, torch.empty_like(queries), **options)


def projected(head_dim: int, norm_weights: bool, kv: torch.dtype = torch.bfloat16) -> None:
    """QK-norm, rotary embedding and KV write, of 32 query heads and 8 KV heads."""
    norms = (empty(head_dim), empty(head_dim), 1e-6) if norm_weights else None
    angles = empty(64, 1, head_dim // 2)
    scales = empty(2, 8, dtype=torch.float32) if kv is torch.float8_e4m3fn else None
    cache = empty(2, 1000, 8, 64, head_dim, dtype=kv)
    rope.rope_and_write_kv(empty(64, 48, head_dim), angles, angles, cache, wide(64), norms, scales)


def sampled(logits: Tensor) -> None:
    count = len(logits)
    chances = empty(count, dtype=torch.float32)
    sample.sample(logits, SamplingRows(chances, wide(count), chances, wide(count), wide(count)))


def inputs_built() -> None:
    chances = empty(256, dtype=torch.float32)
    requests = RequestRows(integers(256, 512), integers(256), wide(256), chances, wide(256), chances, wide(256))
    sampling = SamplingRows(chances, wide(256), chances, wide(256), wide(256))
    into = StepInputs(wide(512), wide(512), wide(512), integers(256), wide(256), sampling)
    inputs.build_inputs(requests, integers(256), integers(257), wide(512), 64, into)
    inputs.finish_step(requests, integers(256), integers(257), wide(256))


def mixture(tokens: int, kind: torch.dtype = torch.bfloat16) -> None:
    """128 experts of which each token takes 8, as in Qwen3-30B-A3B."""
    shares, chosen = empty(tokens, 8, dtype=torch.float32), wide(tokens, 8)
    experts = empty(128, 1536, 2048, dtype=kind), empty(128, 2048, 768, dtype=kind)
    scales = empty(128, 1536, dtype=torch.float32), empty(128, 2048, dtype=torch.float32)
    moe.experts(empty(tokens, 2048), shares, chosen, *experts, mlp.silu_mul, None if kind is torch.bfloat16 else scales)


def eight_bits(tokens: int, kind: torch.dtype) -> None:
    matmul.quantized_linear(empty(tokens, 4096), empty(24576, 4096, dtype=kind), empty(24576, dtype=torch.float32))


def add_norm(size: int) -> None:
    norm.add_rms_norm(empty(64, size), empty(64, size), empty(size), 1e-6)


FLOAT8 = torch.float8_e4m3fn
FLOAT8_CACHE: dict[str, Any] = {"kv": FLOAT8, "kv_scales": empty(2, 8, dtype=torch.float32)}
CASES: dict[str, Callable[[], Any]] = {
    "D64 group 1": lambda: attention(decode.decode_attention, 64, 1),
    "D128 group 4": lambda: attention(decode.decode_attention, 128, 4),
    "D128 group 4, one split": lambda: attention(decode.decode_attention, 128, 4, batch=256),
    "D128 group 8, window, sinks, cap": lambda: attention(
        decode.decode_attention, 128, 8, window=4096, sinks=empty(64, dtype=torch.float32), cap=50.0
    ),
    "D256 group 16": lambda: attention(decode.decode_attention, 256, 16),
    "D64 group 1, chunks": lambda: attention(prefill.prefill_attention, 64, 1),
    "D128 group 4, chunks": lambda: attention(prefill.prefill_attention, 128, 4),
    "D128 group 4, few tokens": lambda: attention(prefill.prefill_attention, 128, 4, batch=1, each=64),
    "D128 group 5, window, sinks, cap": lambda: attention(
        prefill.prefill_attention, 128, 5, window=4096, sinks=empty(40, dtype=torch.float32), cap=50.0
    ),
    "D256 group 8, chunks": lambda: attention(prefill.prefill_attention, 256, 8),
    "D64": lambda: projected(64, False),
    "D128, QK-norm": lambda: projected(128, True),
    "D256, QK-norm": lambda: projected(256, True),
    "hidden 4096": lambda: add_norm(4096),
    "hidden 16384": lambda: add_norm(16384),
    "SiLU": lambda: mlp.silu_mul(empty(64, 24576)),
    "GELU": lambda: mlp.gelu_tanh_mul(empty(64, 24576)),
    "greedy": lambda: sample.sample(empty(64, VOCABULARY), None),
    "drawn": lambda: sampled(empty(64, VOCABULARY)),
    "logprobs": lambda: sample.logprobs(empty(64, VOCABULARY), wide(64), 20),
    "inputs": inputs_built,
    "router": lambda: moe.route(empty(64, 128), 8, True),
    "experts, 64 tokens": lambda: mixture(64),
    "experts, 16384 tokens": lambda: mixture(16384),
    "int8 experts, 64 tokens": lambda: mixture(64, torch.int8),
    "int8 experts, 16384 tokens": lambda: mixture(16384, torch.int8),
    "int8, 16 tokens": lambda: eight_bits(16, torch.int8),
    "int8, 64 tokens": lambda: eight_bits(64, torch.int8),
    "int8, 4096 tokens": lambda: eight_bits(4096, torch.int8),
}
# Triton reads and writes this format from compute capability 8.9 on.
FLOAT8_CASES: dict[str, Callable[[], Any]] = {
    "D128 group 4, float8": lambda: attention(decode.decode_attention, 128, 4, **FLOAT8_CACHE),
    "D128 group 4, float8, chunks": lambda: attention(prefill.prefill_attention, 128, 4, **FLOAT8_CACHE),
    "D128, float8": lambda: projected(128, True, FLOAT8),
    "float8, 16 tokens": lambda: eight_bits(16, FLOAT8),
    "float8, 4096 tokens": lambda: eight_bits(4096, FLOAT8),
    "float8 experts, 64 tokens": lambda: mixture(64, FLOAT8),
    "float8 experts, 16384 tokens": lambda: mixture(16384, FLOAT8),
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
