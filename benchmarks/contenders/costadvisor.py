"""Our engine."""

import torch

from benchmarks.contenders.turn import Generate, Prompts, Turn, take_turn
from engine.config import EngineOptions
from engine.engine import Engine
from engine.request import SamplingParams


def load(turn: Turn) -> Generate:
    torch.set_num_threads(turn.threads)
    options = EngineOptions(
        device="cpu",
        dtype="bfloat16",
        quantization="none" if turn.variant == "bf16" else turn.variant,
        max_batch=turn.requests,
        prefix_cache=False,
    )
    engine = Engine(turn.model, options)

    def generate(prompts: Prompts, output_tokens: int) -> list[int]:
        params = SamplingParams(max_tokens=output_tokens, ignore_eos=True)
        return [len(request.output) for request in engine.generate(prompts, params)]

    return generate


if __name__ == "__main__":
    take_turn(load, ("bf16", "int8"), ("torch",))
