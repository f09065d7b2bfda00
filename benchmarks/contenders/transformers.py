"""transformers: one prompt after another, all of them as one static batch, and its own continuous batching."""

import torch
from transformers import AutoModelForCausalLM, ContinuousBatchingConfig, GenerationConfig

from benchmarks.contenders.turn import Generate, Prompts, Turn, take_turn


def load(turn: Turn) -> Generate:
    torch.set_num_threads(turn.threads)
    model = AutoModelForCausalLM.from_pretrained(turn.model, dtype=torch.bfloat16, attn_implementation="sdpa").eval()

    def exactly(output_tokens: int) -> GenerationConfig:
        return GenerationConfig(max_new_tokens=output_tokens, do_sample=False, eos_token_id=-1, pad_token_id=0)

    def static_batch(prompts: Prompts, output_tokens: int) -> list[int]:
        ids = torch.tensor(prompts)
        with torch.inference_mode():
            tokens = model.generate(ids, exactly(output_tokens), attention_mask=torch.ones_like(ids))
        return [tokens.shape[1] - ids.shape[1]] * tokens.shape[0]

    def one_by_one(prompts: Prompts, output_tokens: int) -> list[int]:
        return [count for prompt in prompts for count in static_batch([prompt], output_tokens)]

    # Without a limit it would keep KV in most of the memory.
    pages = ContinuousBatchingConfig(allow_block_sharing=False, max_memory_percent=0.1)

    def continuous(prompts: Prompts, output_tokens: int) -> list[int]:
        answers = model.generate_batch(prompts, exactly(output_tokens), pages, persistent_manager=True)
        return [len(answer.generated_tokens) for answer in answers.values()]

    ways = {"static batch": static_batch, "one by one": one_by_one, "continuous batching": continuous}
    return ways[turn.variant]


if __name__ == "__main__":
    take_turn(load, ("static batch", "one by one", "continuous batching"), ("transformers", "torch"))
