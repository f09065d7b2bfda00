"""On which GPUs an open model fits, and about how much one replica would then do: arithmetic, nobody measured it.

Memory is the engine's own arithmetic (`engine.calibrate.memory`), weights in bfloat16. A replica at its limit is bound
by reading its weights and the KV of a full batch once for each token, and by the products of every prompt:

    seconds of a request = output tokens x (weights + batch x context x KV bytes) / bandwidth / batch
                         + input tokens x 2 x active parameters / (operations a second)

Software reaches about `REACHED` of that: what was published of a dense model in bfloat16 on one GPU of five kinds lies
between 0.66 and 0.90 of it (a test holds it to that). Several GPUs, experts and quantized weights nobody here measured,
so what comes out is grade E: good enough to choose what to measure.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from costadvisor.catalog.facts import OpenModel
from costadvisor.catalog.published import OPEN_LOOP_SHARE
from engine.calibrate.gpu_facts import GpuFacts, gpu_facts
from engine.calibrate.memory import MemoryCheck, Serving, memory_check
from engine.config import ModelShape
from engine.errors import InputError

REACHED = 0.7
SIZES = (1, 2, 4, 8)  # GPUs of a replica: those of one machine
FEWEST_AT_ONCE = 8  # requests in the KV cache; with fewer a replica reads its weights for almost nobody
MOST_AT_ONCE = 256  # what servers batch by default


@dataclass(frozen=True)
class Fit:
    """A model on the fewest GPUs of a kind that hold it; `at_once` requests of the asked context run together."""

    model: OpenModel
    gpu: GpuFacts
    gpus: int
    at_once: int

    def requests_per_s(self, *, input_tokens: float, output_tokens: float, tpot_p95_ms: float) -> float:
        """What one replica may sustain: 0 where even a request alone would miss the time per output token."""
        batch = self.at_once
        while batch > 1 and 1000 * self._step_s(batch, input_tokens + output_tokens) / REACHED > tpot_p95_ms:
            batch //= 2
        step = self._step_s(batch, input_tokens + output_tokens)
        if 1000 * step / REACHED > tpot_p95_ms:
            return 0.0
        return OPEN_LOOP_SHARE * REACHED / (output_tokens * step / batch + self._prompt_s(input_tokens))

    def saturated_per_s(self, *, batch: int, input_tokens: float, output_tokens: float) -> float:
        """By the datasheet alone, at so many requests at once."""
        step = self._step_s(batch, input_tokens + output_tokens / 2)
        return 1 / (output_tokens * step / batch + self._prompt_s(input_tokens))

    def _step_s(self, batch: int, context: float) -> float:
        read = min(self.model.params_total, self.model.params_active * batch) * 2
        kv = batch * context * self.model.kv_bytes_per_token_bf16
        return (read + kv) / (self.gpus * self.gpu.bandwidth_gb_per_s * 1e9)

    def _prompt_s(self, tokens: float) -> float:
        return tokens * 2 * self.model.params_active / (self.gpus * self.gpu.bf16_tflops * 1e12)


def fits(model: OpenModel, gpus: Iterable[str], *, context: int) -> Iterator[Fit]:
    """On each of the catalog's GPUs that the datasheets know, the smallest replica with room for some requests."""
    for name in gpus:
        found = fit(model, name, context=context)
        if found is not None:
            yield found


def fit(model: OpenModel, gpu: str, *, context: int) -> Fit | None:
    """None where eight of these GPUs do not hold it, or the model takes no such context."""
    found = (fit_on(model, gpu, count, context=context) for count in SIZES)
    return next((known for known in found if known is not None and known.at_once >= FEWEST_AT_ONCE), None)


def fit_on(model: OpenModel, gpu: str, count: int, *, context: int) -> Fit | None:
    """On so many of these GPUs; None where they don't hold it with one request of that context."""
    facts = datasheet(gpu)
    check = None if facts is None else _memory(model, facts, count)
    if facts is None or check is None or not 1 <= context <= model.context_tokens or not check.largest_batch(context):
        return None
    return Fit(model, facts, count, min(check.largest_batch(context), MOST_AT_ONCE))


@cache
def datasheet(gpu: str) -> GpuFacts | None:
    """Of a GPU as the catalog names it, which says nothing of SXM: that is what clouds rent."""
    for name in (gpu, f"{gpu} SXM"):
        try:
            return gpu_facts(name)
        except InputError:
            continue
    return None


@cache
def _memory(model: OpenModel, gpu: GpuFacts, count: int) -> MemoryCheck | None:
    try:
        return memory_check(Serving(shape_of(model), gpus=count, max_batch=MOST_AT_ONCE), gpu)
    except InputError:
        return None


@cache
def shape_of(model: OpenModel) -> ModelShape:
    """A shape that weighs what the catalog counted: its MLPs are as wide as is left, in experts of the active size."""
    attention = 2 * model.hidden_size * (model.heads + model.kv_heads) * model.head_dim * model.layers
    fixed = attention + 2 * model.vocab_size * model.hidden_size
    per_width = 3 * model.hidden_size * model.layers
    active = max(1, (model.params_active - fixed) // per_width)
    total = max(active, -(-(model.params_total - fixed) // per_width))
    count = -(-total // active)
    raw = {
        "model_type": "qwen3" if count == 1 else "qwen3_moe",
        "num_hidden_layers": model.layers,
        "hidden_size": model.hidden_size,
        "num_attention_heads": model.heads,
        "num_key_value_heads": model.kv_heads,
        "head_dim": model.head_dim,
        "intermediate_size": total,
        "vocab_size": model.vocab_size,
        "max_position_embeddings": model.context_tokens,
        "num_experts": count,
        "num_experts_per_tok": 1,
        "moe_intermediate_size": -(-total // count),
        "decoder_sparse_step": 1,
        "norm_topk_prob": True,
    }
    return ModelShape.from_config(raw)
