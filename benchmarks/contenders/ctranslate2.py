"""CTranslate2, which computes in int8 on CPUs and has no bfloat16 there.

Its environment needs torch and transformers, too, which convert the weights once.
"""

import json

import ctranslate2
from ctranslate2.converters import TransformersConverter

from benchmarks.contenders.turn import Generate, Prompts, Turn, take_turn


def load(turn: Turn) -> Generate:
    folder = turn.converted / f"{turn.model.name}-ctranslate2-int8"
    if not folder.exists():
        TransformersConverter(str(turn.model), load_as_float16=False).convert(str(folder), quantization="int8")
    generator = ctranslate2.Generator(str(folder), compute_type="int8", intra_threads=turn.threads)
    words = json.loads((folder / "vocabulary.json").read_text())

    def generate(prompts: Prompts, output_tokens: int) -> list[int]:
        results = generator.generate_batch(
            [[words[token] for token in prompt] for prompt in prompts],
            max_length=output_tokens,
            min_length=output_tokens,
            include_prompt_in_result=False,  # computes the prompts at once
        )
        return [len(result.sequences_ids[0]) for result in results]

    return generate


if __name__ == "__main__":
    take_turn(load, ("int8",), ("ctranslate2",))
