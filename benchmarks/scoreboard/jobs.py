"""The scoreboard's jobs: so many requests of given lengths, all handed over at once, greedy, to their last token.

Imports nothing but the standard library, so that a contender in another Python environment reads the same prompts.
"""

import dataclasses
import json
import random
from dataclasses import dataclass
from pathlib import Path

MODELS = Path(__file__).parents[2] / "fixtures" / "models"
WARM_UP_REQUESTS, WARM_UP_OUTPUT = 32, 32

Lengths = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Job:
    """`lengths` are (prompt tokens, output tokens) of each request; ids are drawn from `range(vocabulary)`.

    `model` is a folder that may hold a config.json only. `static_batch` requests at a time is how a program without
    continuous batching would go about it.
    """

    name: str
    model: Path
    lengths: Lengths
    vocabulary: int
    static_batch: int
    dtype: str = "bfloat16"
    kv_dtype: str | None = None  # fp8, or None for the dtype
    device: str = "cuda"

    @property
    def input_tokens(self) -> int:
        return sum(prompt for prompt, _ in self.lengths)

    @property
    def output_tokens(self) -> int:
        return sum(output for _, output in self.lengths)

    @property
    def longest(self) -> int:
        return max(prompt + output for prompt, output in self.lengths)

    def prompts(self, seed: int = 0) -> list[list[int]]:
        chance = random.Random(seed)
        return [chance.choices(range(self.vocabulary), k=prompt) for prompt, _ in self.lengths]

    def warm_up(self) -> "Job":
        """The longest prompts with short outputs. Draw its prompts with another seed, so that no cache holds them."""
        longest = sorted(self.lengths, reverse=True)[:WARM_UP_REQUESTS]
        return dataclasses.replace(self, lengths=tuple((prompt, min(out, WARM_UP_OUTPUT)) for prompt, out in longest))

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(dataclasses.asdict(self), default=str))

    @classmethod
    def read(cls, path: Path) -> "Job":
        raw = json.loads(path.read_text())
        lengths = tuple((prompt, output) for prompt, output in raw["lengths"])
        return cls(**raw | {"model": Path(raw["model"]), "lengths": lengths})


def nano_lengths() -> Lengths:
    """Those of nano-vllm's bench.py: 142,827 tokens in, 133,966 out. Its prompt ids are drawn on the way."""
    chance = random.Random(0)
    prompts = [len([chance.randint(0, 10_000) for _ in range(chance.randint(100, 1024))]) for _ in range(256)]
    return tuple((prompt, chance.randint(100, 1024)) for prompt in prompts)


def anyscale_lengths() -> Lengths:
    """512 in, and outputs as in Anyscale's comparison of batching: exponential with a mean of 128, capped at 1536."""
    chance = random.Random(0)
    return tuple((512, min(1 + int(chance.expovariate(1 / 128)), 1536)) for _ in range(1000))


QWEN_SMALL, QWEN, LLAMA = MODELS / "Qwen3-0.6B", MODELS / "Qwen3-8B", MODELS / "Llama-3.1-8B"
LONG: Lengths = ((20_480, 2048),) * 8

# The most telling first: a run that is cut short has those. Static batches are as large as memory takes them, but for
# Anyscale's, which are what the 40 GB of that comparison held beside a model of 13 billion parameters.
JOBS = (
    Job("nano 0.6B", QWEN_SMALL, nano_lengths(), vocabulary=10_001, static_batch=256),
    Job("8B 256 x 1k+1k", QWEN, ((1024, 1024),) * 256, vocabulary=151_936, static_batch=256),
    Job("8B naive lengths", QWEN, anyscale_lengths(), vocabulary=151_936, static_batch=8),
    Job("nano 8B", QWEN, nano_lengths(), vocabulary=10_001, static_batch=256),
    Job("Llama 8 x 20k+2k", LLAMA, LONG, vocabulary=128_256, static_batch=8),
    Job("Llama 8 x 20k+2k fp8 KV", LLAMA, LONG, vocabulary=128_256, static_batch=8, kv_dtype="fp8"),
    Job("8B 256 x 4k+4k", QWEN, ((4096, 4096),) * 256, vocabulary=151_936, static_batch=64),
)
QUICK = JOBS[:3]


def toy(job: Job, folder: Path) -> Job:
    """The job in shape only, for a CPU: three short requests to a model of the same family with two small layers.

    Writes that model's config.json into `folder`.
    """
    small = {
        "num_hidden_layers": 2,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "vocab_size": 320,
        "bos_token_id": 0,
        "eos_token_id": 1,
    }
    model = folder / job.model.name
    model.mkdir(parents=True, exist_ok=True)
    (model / "config.json").write_text(json.dumps(json.loads((job.model / "config.json").read_text()) | small))
    lengths = tuple((1 + prompt % 29, 1 + output % 5) for prompt, output in job.lengths[:3])
    return dataclasses.replace(
        job, model=model, lengths=lengths, vocabulary=320, static_batch=2, dtype="float32", device="cpu"
    )
