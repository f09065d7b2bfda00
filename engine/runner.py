"""A model on a device: resolves what was left open, holds weights and KV memory, computes planned steps."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Self

import psutil
import torch
from torch import Tensor

from engine import batch, operations, sampler
from engine.backend import Underway
from engine.batch import Batch
from engine.config import EngineConfig, EngineOptions, ModelShape, SchedulerConfig, json_object
from engine.errors import InputError
from engine.footprint import copied_bytes, kv_bytes_per_token
from engine.gguf import converted
from engine.kv_cache import PADDING_BLOCK
from engine.model import Decoder
from engine.parallel import Group, lead
from engine.quantization import weight_bytes
from engine.sampler import Drawn
from engine.scheduler import Step
from engine.shard import check_divides
from engine.weights import load_weights
from kernels import reference

CPU_TOKEN_BUDGET = 512
KV_SHARE_OF_FREE_MEMORY = 0.4  # the rest stays for the batch, and for what else runs on the machine


class Runner:
    """Computes steps on the CPU. Everything chosen stands in `config`."""

    def __init__(self, folder: Path, config: EngineConfig, group: Group) -> None:
        """The rank of a model that `group` says it is. `Runner.of` makes that of an engine."""
        self.folder = folder
        self.shape = ModelShape.from_folder(folder)
        self.config = config
        self.stop_ids = stop_ids_of(folder)
        self._group = group
        self._dtype: torch.dtype = getattr(torch, self.config.dtype)
        weights = load_weights(
            folder,
            self.shape,
            self._dtype,
            dummy=config.dummy_weights,
            native=config.operations == "native",
            quantization=config.quantization,
            shard=group.shard,
        )
        self._decoder = Decoder(self.shape, weights, operations.CPU[self.config.operations], group)
        self._caches = self._kv_memory()
        group.meet()

    @classmethod
    def of(cls, model: Path, options: EngineOptions) -> Self:
        folder = converted(model)
        config = resolve(ModelShape.from_folder(folder), options)
        return cls(folder, config, lead(folder, config.tensor_parallel, {"config": dataclasses.asdict(config)}))

    def close(self) -> None:
        """End the other ranks' processes, if there are any."""
        self._group.close()

    def launch(self, step: Step, before: Underway | None = None) -> "Launched":
        """Lay a step out and set it going; `before` is the one launched before it, if that is not read yet."""
        unread = None if before is None else before.step
        native = self.config.operations == "native"
        laid_out = batch.build(step, self.config.scheduler, self.shape, self._dtype, unread, native=native)
        return Launched(step, laid_out, before, self._group.computing(step, self._compute))

    @torch.inference_mode()
    def _compute(self, laid_out: Batch, before: Tensor | None) -> Drawn:
        """`before` are the tokens of the step launched before this one, if they were not known when it was laid out."""
        if before is not None:
            laid_out.tokens[laid_out.unknown] = before[laid_out.unknown_from]
        reference.clear_blocks(self._caches, laid_out.fresh)
        hidden = self._decoder(laid_out, self._caches)
        last = hidden[laid_out.sampled]
        drawn = sampler.draw(
            self._decoder.logits, last, laid_out.draws, hidden, laid_out.scores, operations.REFERENCE
        ).read()
        self._group.share(drawn.tokens)
        return drawn

    def _kv_memory(self) -> Tensor:
        """KV of all layers, `[layers, 2, blocks, G, block_size, D]` to the kernels, heads outermost in memory."""
        limits, shape = self.config.scheduler, self.shape
        kv_heads = self._group.shard.kv_heads(shape)
        sizes = (shape.layers, 2, kv_heads, limits.num_blocks, limits.block_size, shape.head_dim)
        caches = torch.empty(sizes, dtype=getattr(torch, self.config.kv_dtype)).transpose(2, 3)
        reference.clear_blocks(caches, torch.tensor([PADDING_BLOCK]))
        return caches


class Launched:
    """A step under way. The CPU is busy either way, so a step waits there until it is read, and then runs through: laid
    out in advance and in the same order as on a device that works on its own."""

    def __init__(
        self, step: Step, laid_out: Batch, before: Underway | None, compute: Callable[[Batch, Tensor | None], Drawn]
    ) -> None:
        self.step = step
        self.tokens: Tensor | None = None  # once read
        self._laid_out = laid_out
        self._before = before
        self._compute = compute

    def read(self) -> Drawn:
        """Wait for the step; call it in the order of launches, once each."""
        drawn = self._compute(self._laid_out, None if self._before is None else self._before.tokens)
        self.tokens = drawn.tokens
        self._before = None
        return drawn


def resolve(shape: ModelShape, options: EngineOptions) -> EngineConfig:
    """Turn what was asked for into every number the engine runs with, in this order: device, dtype, limits, memory."""
    ranks = options.tensor_parallel
    check_divides(shape, ranks)
    dtype = options.dtype or ("bfloat16" if _cpu_computes_bfloat16() else "float32")
    value_bytes = 2 if dtype == "bfloat16" else 4
    kv_dtype = "float8_e4m3fn" if options.kv_dtype == "fp8" else dtype
    kv_bytes = kv_bytes_per_token(shape, 1 if options.kv_dtype else value_bytes, ranks)
    limits = SchedulerConfig(
        max_batch=options.max_batch,
        token_budget=CPU_TOKEN_BUDGET if options.token_budget is None else options.token_budget,
        block_size=options.block_size,
        max_model_len=shape.max_position,
        prefix_cache=options.prefix_cache and shape.longrope_length is None,  # its KV depends on what comes after
    )
    block_bytes = kv_bytes * limits.block_size
    weights = weight_bytes(shape, value_bytes, options.quantization) + copied_bytes(shape, value_bytes, ranks)
    free = _free_beside(weights)
    blocks = options.num_blocks
    if blocks is None:
        blocks = blocks_that_fit(limits, block_bytes, int(free * KV_SHARE_OF_FREE_MEMORY))
    check_blocks(blocks, block_bytes, free)
    return EngineConfig(
        scheduler=dataclasses.replace(limits, num_blocks=blocks),
        device="cpu",
        dtype=dtype,
        dummy_weights=options.dummy_weights,
        kv_bytes_per_token=kv_bytes,
        overlap=bool(options.overlap),
        operations=operations.for_cpu(False if options.kv_dtype == "fp8" else options.native, shape.head_dim),
        quantization=options.quantization,
        kv_dtype=kv_dtype,
        tensor_parallel=ranks,
    )


def _free_beside(weight_bytes: int) -> int:
    """Bytes of memory that are left when the weights are loaded."""
    available = psutil.virtual_memory().available
    if weight_bytes > available:
        raise InputError(
            f"not enough memory for the weights: they take {weight_bytes / 2**30:.1f} GiB, "
            f"{available / 2**30:.1f} GiB are free; use a smaller model or bfloat16"
        )
    return available - weight_bytes


def check_blocks(blocks: int, block_bytes: int, free: int) -> None:
    if blocks * block_bytes > free:
        raise InputError(
            f"num_blocks is {blocks}, a KV cache of {blocks * block_bytes >> 20} MiB, but {free >> 20} MiB of memory "
            f"are free; ask for at most {free // block_bytes}"
        )


def blocks_that_fit(limits: SchedulerConfig, block_bytes: int, usable: int) -> int:
    """As many blocks as all rows at full length could use, within the bytes that may be used; at least one."""
    wanted = limits.rows * limits.blocks_for(limits.max_model_len) + 1
    fitting = usable // block_bytes
    if fitting < 2:
        raise InputError(
            f"not enough memory for the KV cache: {usable >> 20} MiB may be used, one block of {limits.block_size} "
            f"tokens takes {block_bytes >> 20} MiB; free memory or use a smaller model"
        )
    return min(wanted, fitting)


def _cpu_computes_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 natively; elsewhere float32 is faster."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return any(flag in flags for flag in ("avx512_bf16", "amx_bf16", " bf16"))


def stop_ids_of(folder: Path) -> frozenset[int]:
    for path in (folder / "generation_config.json", folder / "config.json"):
        given = json_object(path).get("eos_token_id") if path.is_file() else None
        ids = given if isinstance(given, list) else [given]
        if any(type(token) is not int for token in ids if token is not None):
            raise InputError(f"eos_token_id in {path} is {given!r}; it must be a token id, or a list of them")
        if given is not None:
            return frozenset(ids)
    return frozenset()
