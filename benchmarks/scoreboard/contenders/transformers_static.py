"""transformers as a first program uses it: a batch at a time, padded, each until its longest output is done."""

import time

import torch
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PreTrainedModel

from benchmarks.scoreboard.contenders.turn import Ran, Run, Unsupported, take_turn
from benchmarks.scoreboard.jobs import Job, Lengths


def dummy_model(job: Job) -> PreTrainedModel:
    """Random weights of the shape in config.json, made on the device."""
    if job.kv_dtype:
        raise Unsupported("transformers keeps KV in the dtype of its weights here")
    config = AutoConfig.from_pretrained(job.model)
    with torch.device(job.device):
        model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, job.dtype))
    return model.eval()


def load(job: Job) -> Run:
    model = dummy_model(job)

    def run(part: Job, seed: int, until: float) -> Ran:
        """At least one batch; what comes out past a request's own length is not counted."""
        prompts = part.prompts(seed)
        done = 0
        while done < len(prompts) and (done == 0 or time.monotonic() < until):
            stop = done + part.static_batch
            _generate(model, prompts[done:stop], part.lengths[done:stop], part.device)
            done = min(stop, len(prompts))
        return Ran(done, {"static_batch": part.static_batch})

    return run


def _generate(model: PreTrainedModel, prompts: list[list[int]], lengths: Lengths, device: str) -> None:
    width, longest = max(map(len, prompts)), max(output for _, output in lengths)
    ids = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in prompts], device=device)
    places = torch.arange(width, device=device)
    real = places >= width - torch.tensor([[len(prompt)] for prompt in prompts], device=device)
    exactly = GenerationConfig(max_new_tokens=longest, do_sample=False, eos_token_id=-1, pad_token_id=0)
    with torch.inference_mode():
        tokens = model.generate(ids, exactly, attention_mask=real.long())
    if tokens.shape[1] != width + longest:
        raise RuntimeError(f"generate gave {tokens.shape[1] - width} tokens instead of {longest}")
    tokens.cpu()  # waits for the last of them


if __name__ == "__main__":
    take_turn(load, ("torch", "transformers"))
