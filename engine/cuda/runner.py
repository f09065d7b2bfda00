"""A model on a GPU: weights, KV memory, captured steps, and launching."""

import contextlib
import dataclasses
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor

from engine import sampler
from engine.backend import Underway
from engine.batch import restart_outgrown, rotary_rows_of
from engine.config import EngineConfig, EngineOptions, ModelShape, SchedulerConfig
from engine.cuda.frame import Frame, Slots, StepMemory, aligned
from engine.cuda.graphs import PROMPT_CHUNKS, Computed, Graphs, buckets
from engine.cuda.launched import CudaLaunched, draws_on_device, placed, redraw
from engine.cuda.linear import make_linear
from engine.cuda.memory import KV_SHARE_OF_WHAT_IS_LEFT, left_by, room_for
from engine.cuda.operations import TRITON
from engine.cuda.rows import DeviceRows
from engine.errors import InputError
from engine.gguf import converted
from engine.model import Decoder
from engine.request import MOST_LOGPROBS, Request, SamplingParams
from engine.runner import KV_SHARE_OF_FREE_MEMORY, blocks_that_fit, check_blocks, stop_ids_of
from engine.scheduler import Chunk, Step
from engine.weights import load_weights
from kernels import tuning
from kernels.inputs import finish_step

TOKEN_BUDGET = 8192
LEAST_CAPABILITY = 80  # compute capability as major * 10 + minor; bfloat16 begins here
FLOAT8_CAPABILITY = 89


class CudaRunner:
    """Computes steps with the Triton kernels. Everything chosen stands in `config`.

    All steps are queued on one stream: a block or row that changes hands is written after its last reader is done.
    """

    def __init__(self, model: Path, options: EngineOptions) -> None:
        if options.tensor_parallel != 1:
            raise InputError("tensor_parallel is for the CPU so far; leave it out, or use --device cpu")
        self._place = place = _place()
        self.folder = folder = converted(model)
        self.shape = shape = ModelShape.from_folder(folder)
        self.stop_ids = stop_ids_of(folder)
        self._limits = limits = _limits(shape, options)
        device = tuning.device_of(place)
        _refuse_unsupported(shape, limits, device)
        _refuse_eight_bits(shape, options, device)
        dtype = options.dtype or ("bfloat16" if place.type == "cuda" else "float32")
        kv_dtype = "float8_e4m3fn" if options.kv_dtype == "fp8" else dtype
        self._dtype: torch.dtype = getattr(torch, dtype)
        self._kv_dtype: torch.dtype = getattr(torch, kv_dtype)
        with self._on_device(), torch.inference_mode():
            with room_for("the weights", "use a smaller model, or free memory on the GPU"):
                weights = load_weights(
                    folder,
                    shape,
                    self._dtype,
                    dummy=options.dummy_weights,
                    quantization=options.quantization,
                    make_linear=make_linear(options.quantization),
                    device=place,
                )
            self._decoder = Decoder(shape, weights, TRITON)
            self._rows = DeviceRows(limits.rows, aligned(limits.blocks_for(limits.max_model_len)), place)
            self._memory = StepMemory(*_most(shape, limits), shape.longrope_length is not None, place)
            self._caches = self._kv_memory(1)
            blocks = self._blocks(options.num_blocks)
            self._caches = self._kv_memory(blocks)
            wanted = list(buckets(limits.rows, limits.token_budget)) if options.graphs else []
            self._graphs = Graphs(wanted, self._padding, self._compute, place)
        self.config = EngineConfig(
            scheduler=dataclasses.replace(limits, num_blocks=blocks),
            device="cuda",
            dtype=dtype,
            dummy_weights=options.dummy_weights,
            kv_bytes_per_token=shape.kv_values_per_token * self._kv_dtype.itemsize,
            overlap=options.overlap is not False,
            operations="triton",
            quantization=options.quantization,
            kv_dtype=kv_dtype,
            tensor_parallel=1,
            graphs=len(self._graphs),
            graphs_failure=self._graphs.failure,
        )

    def close(self) -> None:
        """There is one process only."""

    def launch(self, step: Step, before: Underway | None = None) -> CudaLaunched:
        """Send a step and queue it, waiting for nothing. What `before` drew is on the device already."""
        with self._on_device(), torch.inference_mode():
            try:
                return self._launch(step)
            except torch.OutOfMemoryError as error:
                raise MemoryError(
                    f"the GPU has no memory left for a step of {len(step.decodes) + step.prefill_tokens} tokens: "
                    f"something else uses it, or else lower --num-blocks ({str(error).partition(chr(10))[0]})"
                ) from None

    def _launch(self, step: Step) -> CudaLaunched:
        original = self.shape.longrope_length
        if original is not None:
            restart_outgrown(step, original)
        chunks, decodes = step.chunks, len(step.decodes)
        rows = self._rows.of(chunks)
        scoring = any(chunk.request.params.prompt_logprobs is not None for chunk in step.prefills)
        captured = None if scoring else self._graphs.find(decodes, len(step.prefills), step.prefill_tokens)
        frame = self._frame(_slots(step)) if captured is None else captured.frame
        rotary_rows = [] if original is None else _rotary_rows(chunks, original)
        self._memory.send(frame.room, decodes, rows, chunks, rotary_rows)
        computed = self._compute(frame) if captured is None else captured.replay()
        places = placed(chunks, rows, frame.room, decodes)
        drawing = redraw(self._decoder, places, computed, self._rows.tensors)
        return CudaLaunched(step, computed.tokens, [one.list for one in places if one.chunk.samples], drawing)

    def _compute(self, frame: Frame) -> Computed:
        """All of a step that can be captured: no shape or address in it depends on what was sent."""
        frame.build()
        hidden = self._decoder(frame, self._caches)
        last = hidden.index_select(0, frame.sampled)
        tokens = TRITON.sample(self._decoder.logits(last), frame.sampling)
        finish_step(frame.requests, frame.rows, frame.first, tokens)
        return Computed(tokens, last, hidden)

    def _frame(self, room: Slots) -> Frame:
        return Frame(room, self._memory, self._rows.tensors, self._limits.block_size)

    def _padding(self, room: Slots) -> Frame:
        """A step of nothing but padding."""
        self._memory.send(room, 0, [], [], [])
        return self._frame(room)

    def _kv_memory(self, blocks: int) -> Tensor:
        """KV of all layers, `[layers, 2, blocks, G, block_size, D]`."""
        shape = self.shape
        sizes = (shape.layers, 2, blocks, shape.kv_heads, self._limits.block_size, shape.head_dim)
        with room_for(f"{blocks} KV blocks", "ask for fewer, or free memory on the GPU"):
            return torch.zeros(sizes, dtype=self._kv_dtype, device=self._place)  # nothing that others left there

    def _blocks(self, asked: int | None) -> int:
        """As many as fit into what a largest step leaves, or as many as were asked for, if they do."""
        if self._place.type == "cuda":
            with room_for("the largest step", "lower --token-budget or --max-batch"):
                left = left_by(self._largest_step, self._place)
            usable = int(left * KV_SHARE_OF_WHAT_IS_LEFT)
        else:
            left = psutil.virtual_memory().available
            usable = int(left * KV_SHARE_OF_FREE_MEMORY)
        block_bytes = self.shape.kv_values_per_token * self._limits.block_size * self._kv_dtype.itemsize
        if asked is None:
            return blocks_that_fit(self._limits, block_bytes, usable)
        check_blocks(asked, block_bytes, left)
        return asked

    def _largest_step(self) -> None:
        """As many tokens and rows as a step can have, and each row drawn with all that can be asked for."""
        rows = self._limits.rows
        decodes = aligned(rows)
        computed = self._compute(self._padding(Slots(decodes, 1, decodes + _most_tokens(self.shape, self._limits))))
        params = SamplingParams(
            temperature=1.0, top_k=9, top_p=0.5, min_p=0.1, repetition_penalty=1.1, logprobs=MOST_LOGPROBS
        )
        draws = draws_on_device([Chunk(Request(0, [0], params), 0, 1, samples=True)] * rows, self._place)
        sampler.draw(self._decoder.logits, computed.last[:rows], draws, computed.last, [], TRITON)

    def _on_device(self) -> AbstractContextManager[Any]:
        return torch.cuda.device(self._place) if self._place.type == "cuda" else contextlib.nullcontext()


def _place() -> torch.device:
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    return torch.device("cpu") if interpreted else torch.device("cuda", torch.cuda.current_device())


def _limits(shape: ModelShape, options: EngineOptions) -> SchedulerConfig:
    """All but the number of blocks, which only the device can tell."""
    return SchedulerConfig(
        max_batch=options.max_batch,
        token_budget=TOKEN_BUDGET if options.token_budget is None else options.token_budget,
        block_size=options.block_size,
        max_model_len=shape.max_position,
        prefix_cache=options.prefix_cache and shape.longrope_length is None,  # its KV depends on what comes after
    )


def _refuse_unsupported(shape: ModelShape, limits: SchedulerConfig, device: tuning.Device) -> None:
    if device.capability < LEAST_CAPABILITY:
        raise InputError(
            f"the GPU has compute capability {device.capability / 10}; 8.0 or later is needed: use --device cpu"
        )
    if shape.head_dim < 16 or shape.head_dim & (shape.head_dim - 1):
        raise InputError(f"head_dim is {shape.head_dim}; on a GPU it must be a power of two: use --device cpu")
    group = shape.heads // shape.kv_heads
    tile = max(
        tuning.decode(device, limits.rows, shape.kv_heads, group, shape.head_dim).tile,
        *(tuning.prefill(device, tokens, group, shape.head_dim).tile for tokens in (1, limits.token_budget)),
    )
    if limits.block_size % tile:
        raise InputError(f"block_size is {limits.block_size}; on a GPU it must be a multiple of {tile}")


def _refuse_eight_bits(shape: ModelShape, options: EngineOptions, device: tuning.Device) -> None:
    if "fp8" in (options.quantization, options.kv_dtype) and device.capability < FLOAT8_CAPABILITY:
        raise InputError(
            f"fp8 needs a GPU of compute capability 8.9 or later; this one has {device.capability / 10}: use "
            "--quantization int8, and leave --kv-dtype out"
        )
    if options.quantization != "none" and shape.experts is not None:
        raise InputError(
            f"quantization is {options.quantization}; on a GPU experts are kept in full so far: leave it out"
        )


def _most(shape: ModelShape, limits: SchedulerConfig) -> tuple[int, int]:
    """Lists and tokens of the largest step, with room for the padding of buckets and of aligned places."""
    lists = 2 * (limits.rows + PROMPT_CHUNKS)
    return lists, lists + _most_tokens(shape, limits)


def _most_tokens(shape: ModelShape, limits: SchedulerConfig) -> int:
    """Of a step. A sequence that outgrows LongRoPE's original length is computed again beside the budget, and those
    that began together do so together."""
    return limits.token_budget + limits.rows * (shape.longrope_length or 0)


def _slots(step: Step) -> Slots:
    """Room for exactly this step, with its prompt chunks at an aligned place."""
    decodes = aligned(len(step.decodes)) if step.prefills else len(step.decodes)
    return Slots(decodes, len(step.prefills), decodes + step.prefill_tokens)


def _rotary_rows(chunks: Sequence[Chunk], longrope_length: int) -> list[int]:
    spans = [(chunk, range(chunk.start, chunk.start + chunk.count)) for chunk in chunks]
    return [row for chunk, span in spans for row in rotary_rows_of(chunk, span, longrope_length)]
