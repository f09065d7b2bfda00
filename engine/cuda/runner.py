"""A model on a GPU: weights, KV memory, captured steps, and launching."""

import contextlib
import dataclasses
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self

import psutil
import torch
from torch import Tensor

from engine import sampler
from engine.backend import Underway
from engine.batch import restart_outgrown, rotary_rows_of
from engine.config import EngineConfig, EngineOptions, ModelShape
from engine.cuda.frame import Frame, Slots, StepMemory, aligned
from engine.cuda.graphs import Computed, Graphs, buckets
from engine.cuda.launched import CudaLaunched, draws_on_device, placed, redraw
from engine.cuda.limits import limits_of, most, most_tokens, refuse_eight_bits, refuse_unsupported, slots_of
from engine.cuda.linear import STORED, make_linear
from engine.cuda.memory import KV_SHARE_OF_WHAT_IS_LEFT, left_by, room_for
from engine.cuda.operations import TRITON
from engine.cuda.rows import DeviceRows
from engine.errors import InputError
from engine.gguf import converted
from engine.model import Decoder
from engine.parallel import Group, lead
from engine.request import MOST_LOGPROBS, Request, SamplingParams
from engine.runner import KV_SHARE_OF_FREE_MEMORY, blocks_that_fit, check_blocks, stop_ids_of
from engine.scheduler import Chunk, Step
from engine.shard import Shard, check_divides
from engine.weights import load_weights
from kernels import tuning
from kernels.inputs import finish_step


class CudaRunner:
    """Computes steps with the Triton kernels. Everything chosen stands in `config`.

    All steps are queued on one stream: a block or row that changes hands is written after its last reader is done.
    Of several ranks each has a GPU and queues the same steps; what they tell each other is queued among them.
    """

    def __init__(self, folder: Path, options: EngineOptions, group: Group) -> None:
        """The rank of a model that `group` says it is. `CudaRunner.of` makes that of an engine."""
        self._group = group
        self._place = place = _place(group.shard)
        self.folder = folder
        self.shape = shape = ModelShape.from_folder(folder)
        self.stop_ids = stop_ids_of(folder)
        self._limits = limits = limits_of(shape, options)
        device = tuning.device_of(place)
        refuse_unsupported(shape, limits, device, group.shard)
        refuse_eight_bits(options, device)
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
                    experts_in=STORED.get(options.quantization),
                    shard=group.shard,
                    device=place,
                )
            self._decoder = Decoder(shape, weights, TRITON, group)
            group.meet(place)
            with group.together():
                blocks = self._settle(options)
        self.config = EngineConfig(
            scheduler=dataclasses.replace(limits, num_blocks=blocks),
            device="cuda",
            dtype=dtype,
            dummy_weights=options.dummy_weights,
            kv_bytes_per_token=self._kv_values * group.shard.ranks * self._kv_dtype.itemsize,
            overlap=options.overlap is not False,
            operations="triton",
            quantization=options.quantization,
            kv_dtype=kv_dtype,
            tensor_parallel=group.shard.ranks,
            graphs=len(self._graphs),
            graphs_failure=self._graphs.failure,
        )

    @classmethod
    def of(cls, model: Path, options: EngineOptions) -> Self:
        folder = converted(model)
        check_divides(ModelShape.from_folder(folder), options.tensor_parallel)
        _place(Shard(0, options.tensor_parallel))  # refuses what there are too few GPUs for
        return cls(folder, options, lead(folder, options.tensor_parallel, {"options": dataclasses.asdict(options)}))

    def _settle(self, options: EngineOptions) -> int:
        """Take the memory that is left, the same on all ranks, and capture steps; returns how many blocks there are."""
        shape, limits, place = self.shape, self._limits, self._place
        self._rows = DeviceRows(limits.rows, aligned(limits.blocks_for(limits.max_model_len)), place)
        self._memory = StepMemory(*most(shape, limits), shape.longrope_length is not None, place)
        self._logits = self._kept_logits()
        self._caches = self._kv_memory(1)
        blocks = self._group.least(self._blocks(options.num_blocks))
        self._caches = self._kv_memory(blocks)
        wanted = list(buckets(limits.rows, limits.token_budget)) if options.graphs else []
        self._graphs = Graphs(wanted, self._padding, self._compute, place, alone=self._group.alone)
        return blocks

    def close(self) -> None:
        """End the other ranks' processes, if there are any."""
        self._group.close()

    def launch(self, step: Step, before: Underway | None = None) -> CudaLaunched:
        """Send a step and queue it, waiting for nothing. What `before` drew is on the device already."""
        if self.shape.longrope_length is not None:
            restart_outgrown(step, self.shape.longrope_length)
        with self._on_device(), torch.inference_mode():
            try:
                return self._group.computing(step, self._launch)(step)
            except torch.OutOfMemoryError as error:
                raise MemoryError(
                    f"the GPU has no memory left for a step of {len(step.decodes) + step.prefill_tokens} tokens: "
                    f"something else uses it, or else lower --num-blocks ({str(error).partition(chr(10))[0]})"
                ) from None

    def _launch(self, step: Step) -> CudaLaunched:
        chunks, decodes = step.chunks, len(step.decodes)
        rows = self._rows.of(chunks)
        scoring = any(chunk.request.params.prompt_logprobs is not None for chunk in step.prefills)
        captured = None if scoring else self._graphs.find(decodes, len(step.prefills), step.prefill_tokens)
        frame = self._frame(slots_of(step)) if captured is None else captured.frame
        original = self.shape.longrope_length
        rotary_rows = [] if original is None else _rotary_rows(chunks, original)
        self._memory.send(frame.room, decodes, rows, chunks, rotary_rows)
        computed = self._compute(frame) if captured is None else captured.replay()
        places = placed(chunks, rows, frame.room, decodes)
        drawing = redraw(self._decoder, places, computed, self._rows.tensors)
        if not self._group.alone:  # the first rank's draws count, once all of them are made
            self._group.share(computed.tokens)
            finish_step(frame.requests, frame.rows, frame.first, computed.tokens)
        sampling = [one.list for one in places if one.chunk.samples]
        return CudaLaunched(step, computed.tokens, sampling, drawing, self._group)

    def _compute(self, frame: Frame) -> Computed:
        """All of a step that can be captured: no shape or address in it depends on what was sent."""
        frame.build()
        hidden = self._decoder(frame, self._caches)
        last = hidden.index_select(0, frame.sampled)
        logits = self._decoder.logits(last)
        tokens = TRITON.sample(logits, frame.sampling)
        if self._group.alone:
            finish_step(frame.requests, frame.rows, frame.first, tokens)
        kept = None if self._logits is None else self._logits[: len(logits)].copy_(logits)
        return Computed(tokens, last, hidden, kept)

    def _kept_logits(self) -> Tensor | None:
        """Room for a step's logits on the first of several ranks, which alone knows what else was asked of draws."""
        if self._group.alone or self._group.shard.rank:
            return None
        return torch.empty(self._memory.lists, self.shape.vocab, dtype=self._dtype, device=self._place)

    def _frame(self, room: Slots) -> Frame:
        return Frame(room, self._memory, self._rows.tensors, self._limits.block_size)

    def _padding(self, room: Slots) -> Frame:
        """A step of nothing but padding."""
        self._memory.send(room, 0, [], [], [])
        return self._frame(room)

    @property
    def _kv_values(self) -> int:
        """Numbers that this rank keeps for one token."""
        return 2 * self.shape.layers * self._group.shard.kv_heads(self.shape) * self.shape.head_dim

    def _kv_memory(self, blocks: int) -> Tensor:
        """KV of all layers, `[layers, 2, blocks, G, block_size, D]`."""
        shape = self.shape
        kv_heads = self._group.shard.kv_heads(shape)
        sizes = (shape.layers, 2, blocks, kv_heads, self._limits.block_size, shape.head_dim)
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
        block_bytes = self._kv_values * self._limits.block_size * self._kv_dtype.itemsize
        if asked is None:
            return blocks_that_fit(self._limits, block_bytes, usable)
        check_blocks(asked, block_bytes, left)
        return asked

    def _largest_step(self) -> None:
        """As many tokens and rows as a step can have, and each row drawn with all that can be asked for."""
        rows = self._limits.rows
        decodes = aligned(rows)
        computed = self._compute(self._padding(Slots(decodes, 1, decodes + most_tokens(self.shape, self._limits))))
        params = SamplingParams(
            temperature=1.0, top_k=9, top_p=0.5, min_p=0.1, repetition_penalty=1.1, logprobs=MOST_LOGPROBS
        )
        draws = draws_on_device([Chunk(Request(0, [0], params), 0, 1, samples=True)] * rows, self._place)
        sampler.draw(self._decoder.logits, computed.last[:rows], draws, computed.last, [], TRITON)

    def _on_device(self) -> AbstractContextManager[Any]:
        return torch.cuda.device(self._place) if self._place.type == "cuda" else contextlib.nullcontext()


def _place(shard: Shard) -> torch.device:
    """The current GPU, or of several ranks one each; raises InputError where there are too few."""
    if os.environ.get("TRITON_INTERPRET") == "1":
        return torch.device("cpu")
    if shard.ranks == 1:
        return torch.device("cuda", torch.cuda.current_device())
    if shard.ranks > torch.cuda.device_count():
        raise InputError(
            f"tensor_parallel is {shard.ranks}; each of so many processes needs a GPU, and torch finds "
            f"{torch.cuda.device_count()}"
        )
    return torch.device("cuda", shard.rank)


def _rotary_rows(chunks: Sequence[Chunk], longrope_length: int) -> list[int]:
    spans = [(chunk, range(chunk.start, chunk.start + chunk.count)) for chunk in chunks]
    return [row for chunk, span in spans for row in rotary_rows_of(chunk, span, longrope_length)]
