"""vLLM's offline class with its own defaults; prefix caching and detokenizing are off, as for all contenders."""

import os
from typing import Any

from benchmarks.scoreboard.contenders.turn import Ran, Run, check_lengths, take_turn
from benchmarks.scoreboard.jobs import Job

# Read when vLLM is imported: no hub, no usage report, no sampler that greedy decoding does not use but that needs
# another package, and the loopback interface for the "distributed" set-up of one process.
SETTINGS = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_USE_FLASHINFER_SAMPLER": "0",
    "VLLM_HOST_IP": "127.0.0.1",
    "GLOO_SOCKET_IFNAME": "lo",
    "NCCL_SOCKET_IFNAME": "lo",
}


def load(job: Job) -> Run:
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    from vllm import LLM, SamplingParams

    options: dict[str, Any] = {"kv_cache_dtype": "fp8_e4m3"} if job.kv_dtype else {}
    engine = LLM(
        model=str(job.model),
        dtype=job.dtype,
        load_format="dummy",
        max_model_len=job.longest,
        enable_prefix_caching=False,
        skip_tokenizer_init=True,
        generation_config="vllm",
        **options,
    )

    def run(part: Job, seed: int, until: float) -> Ran:
        prompts = [{"prompt_token_ids": prompt} for prompt in part.prompts(seed)]
        params = [
            SamplingParams(temperature=0.0, max_tokens=output, ignore_eos=True, detokenize=False)
            for _, output in part.lengths
        ]
        answers = engine.generate(prompts, params, use_tqdm=False)
        check_lengths(part, [len(answer.outputs[0].token_ids) for answer in answers])
        return Ran(len(answers), {"blocks": engine.llm_engine.vllm_config.cache_config.num_gpu_blocks})

    return run


if __name__ == "__main__":
    take_turn(load, ("torch", "vllm"))
