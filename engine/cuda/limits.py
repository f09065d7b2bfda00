"""What a GPU's steps may be, and what its kernels can't compute."""

from engine.config import EngineOptions, ModelShape, SchedulerConfig
from engine.cuda.frame import Slots, aligned
from engine.cuda.graphs import PROMPT_CHUNKS
from engine.errors import InputError
from engine.scheduler import Step
from engine.shard import Shard
from kernels import tuning

TOKEN_BUDGET = 8192
LEAST_CAPABILITY = 80  # compute capability as major * 10 + minor; bfloat16 begins here
FLOAT8_CAPABILITY = 89


def limits_of(shape: ModelShape, options: EngineOptions) -> SchedulerConfig:
    """All but the number of blocks, which only the device can tell."""
    return SchedulerConfig(
        max_batch=options.max_batch,
        token_budget=TOKEN_BUDGET if options.token_budget is None else options.token_budget,
        block_size=options.block_size,
        max_model_len=shape.max_position,
        prefix_cache=options.prefix_cache and shape.longrope_length is None,  # its KV depends on what comes after
    )


def refuse_unsupported(shape: ModelShape, limits: SchedulerConfig, device: tuning.Device, shard: Shard) -> None:
    if device.capability < LEAST_CAPABILITY:
        raise InputError(
            f"the GPU has compute capability {device.capability / 10}; 8.0 or later is needed: use --device cpu"
        )
    if shape.head_dim < 16 or shape.head_dim & (shape.head_dim - 1):
        raise InputError(f"head_dim is {shape.head_dim}; on a GPU it must be a power of two: use --device cpu")
    kv_heads = shard.kv_heads(shape)
    group = shape.heads // shard.ranks // kv_heads
    tile = max(
        tuning.decode(device, limits.rows, kv_heads, group, shape.head_dim).tile,
        *(tuning.prefill(device, tokens, group, shape.head_dim).tile for tokens in (1, limits.token_budget)),
    )
    if limits.block_size % tile:
        raise InputError(f"block_size is {limits.block_size}; on a GPU it must be a multiple of {tile}")


def refuse_eight_bits(options: EngineOptions, device: tuning.Device) -> None:
    if "fp8" in (options.quantization, options.kv_dtype) and device.capability < FLOAT8_CAPABILITY:
        raise InputError(
            f"fp8 needs a GPU of compute capability 8.9 or later; this one has {device.capability / 10}: use "
            "--quantization int8, and leave --kv-dtype out"
        )


def most(shape: ModelShape, limits: SchedulerConfig) -> tuple[int, int]:
    """Lists and tokens of the largest step, with room for the padding of buckets and of aligned places."""
    lists = 2 * (limits.rows + PROMPT_CHUNKS)
    return lists, lists + most_tokens(shape, limits)


def most_tokens(shape: ModelShape, limits: SchedulerConfig) -> int:
    """Of a step. A sequence that outgrows LongRoPE's original length is computed again beside the budget, and those
    that began together do so together."""
    return limits.token_budget + limits.rows * (shape.longrope_length or 0)


def slots_of(step: Step) -> Slots:
    """Room for exactly this step, with its prompt chunks at an aligned place."""
    decodes = aligned(len(step.decodes)) if step.prefills else len(step.decodes)
    return Slots(decodes, len(step.prefills), decodes + step.prefill_tokens)
