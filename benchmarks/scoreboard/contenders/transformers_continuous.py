"""transformers' own continuous batching, sized for the job as its `generate_batch` does it."""

from typing import Any

from transformers import ContinuousBatchingConfig, GenerationConfig
from transformers.generation.continuous_batching.utils import WorkloadHints

from benchmarks.scoreboard.contenders.transformers_static import dummy_model
from benchmarks.scoreboard.contenders.turn import Ran, Run, check_lengths, take_turn
from benchmarks.scoreboard.jobs import Job

SHARE_OF_GPU = 0.9  # of what its weights leave, as our engine and vLLM take
TOKENS_A_STEP = 8192  # as our engine
PAGE = 256


def memory(job: Job) -> dict[str, Any]:
    """Room for all of a dry run at once, however little of the machine is free; on a GPU as much as others take."""
    if job.device == "cuda":
        return {"max_memory_percent": SHARE_OF_GPU, "max_batch_tokens": TOKENS_A_STEP}
    return {"num_blocks": len(job.lengths) * -(-job.longest // PAGE), "max_batch_tokens": job.input_tokens}


def load(job: Job) -> Run:
    model = dummy_model(job)
    prompt, output = (max(length) for length in zip(*job.lengths, strict=True))
    session: dict[str, Any] = {
        "generation_config": GenerationConfig(max_new_tokens=output, do_sample=False, eos_token_id=-1, pad_token_id=0),
        "continuous_batching_config": ContinuousBatchingConfig(
            allow_block_sharing=False, page_size=PAGE, **memory(job)
        ),
        "workload_hints": WorkloadHints(
            max_prompt_length=prompt, max_generated_length=output, num_requests=len(job.lengths)
        ),
        "persistent_manager": True,  # from warming up to the timed run, graphs and all
    }

    def run(part: Job, seed: int, until: float) -> Ran:
        got: dict[str, int] = {}
        with model.continuous_batching_context_manager(**session) as manager:
            names = [
                manager.add_request(prompt, max_new_tokens=output)
                for prompt, (_, output) in zip(part.prompts(seed), part.lengths, strict=True)
            ]
            while len(got) < len(names):
                result = manager.get_result(timeout=1)
                if result is None and not manager.is_running():
                    raise RuntimeError("its generation thread has stopped; what it logged says why")
                if result is not None and result.is_finished():
                    if result.error is not None:
                        raise RuntimeError(f"request {result.request_id} failed: {result.error}")
                    got[result.request_id] = len(result.generated_tokens)
        check_lengths(part, [got[name] for name in names])
        return Ran(len(names), {"attention": model.config._attn_implementation})

    return run


if __name__ == "__main__":
    take_turn(load, ("torch", "transformers"))
