"""llama.cpp through its Python bindings, in bfloat16 or its 8-bit format: all requests a step, or one after another."""

from pathlib import Path

import llama_cpp
import numpy as np

from benchmarks.contenders.turn import Generate, Prompts, Turn, take_turn

FORMATS = {"bf16": llama_cpp.LLAMA_FTYPE_MOSTLY_BF16, "Q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0}


class Batch:
    """Tokens of several sequences that are computed together, and whose next tokens are asked for."""

    def __init__(self, capacity: int) -> None:
        self.filled = llama_cpp.llama_batch_init(capacity, 0, 1)
        self.asked: list[int] = []

    def clear(self) -> None:
        self.filled.n_tokens = 0
        self.asked = []

    def add(self, sequence: int, tokens: list[int], position: int) -> None:
        """Ask for the token after the last of these."""
        for place, token in enumerate(tokens, start=self.filled.n_tokens):
            self.filled.token[place] = token
            self.filled.pos[place] = position + place - self.filled.n_tokens
            self.filled.n_seq_id[place] = 1
            self.filled.seq_id[place][0] = sequence
            self.filled.logits[place] = 0
        self.filled.n_tokens += len(tokens)
        self.filled.logits[self.filled.n_tokens - 1] = 1
        self.asked.append(self.filled.n_tokens - 1)


class Llama:
    """A model and its KV memory for `sequences` at once."""

    def __init__(self, gguf: Path, sequences: int, turn: Turn) -> None:
        self.model = llama_cpp.llama_model_load_from_file(bytes(gguf), llama_cpp.llama_model_default_params())
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = sequences * (turn.input_tokens + turn.output_tokens)
        params.n_seq_max = sequences
        params.n_batch = sequences * turn.input_tokens
        params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED  # on a CPU a batch decodes faster so
        params.n_threads = params.n_threads_batch = turn.threads
        self.context = llama_cpp.llama_init_from_model(self.model, params)
        self.batch = Batch(params.n_batch)

    def generate(self, prompts: Prompts, output_tokens: int) -> list[int]:
        """Greedily, from empty memory; how many tokens each prompt got."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)
        sequences, position = prompts, 0
        outputs: list[list[int]] = [[] for _ in prompts]
        for _ in range(output_tokens):
            self.batch.clear()
            for number, tokens in enumerate(sequences):
                self.batch.add(number, tokens, position)
            position += len(sequences[0])
            sequences = [[token] for token in self._next_tokens()]
            for output, [token] in zip(outputs, sequences, strict=True):
                output.append(token)
        return [len(output) for output in outputs]

    def _next_tokens(self) -> list[int]:
        code = llama_cpp.llama_decode(self.context, self.batch.filled)
        if code != 0:
            raise SystemExit(f"llama_decode answered {code}")
        rows = [llama_cpp.llama_get_logits_ith(self.context, place) for place in self.batch.asked]
        return [int(np.ctypeslib.as_array(row, (self.vocabulary,)).argmax()) for row in rows]


def load(turn: Turn) -> Generate:
    name, _, way = turn.variant.partition(" ")
    together = 1 if way else turn.requests
    model = Llama(converted(turn, name), together, turn)

    def generate(prompts: Prompts, output_tokens: int) -> list[int]:
        groups = [prompts[start : start + together] for start in range(0, len(prompts), together)]
        return [count for group in groups for count in model.generate(group, output_tokens)]

    return generate


def converted(turn: Turn, name: str) -> Path:
    """The GGUF in another format, made once by llama.cpp itself."""
    if turn.gguf is None:
        raise SystemExit("llama.cpp needs --gguf")
    target = turn.converted / f"{turn.model.name}-llama.cpp-{name}.gguf"
    if not target.exists():
        params = llama_cpp.llama_model_quantize_default_params()
        params.ftype, params.allow_requantize = FORMATS[name], True
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_suffix(".part")
        if llama_cpp.llama_model_quantize(bytes(turn.gguf), bytes(unfinished), params) != 0:
            raise SystemExit(f"llama.cpp could not convert {turn.gguf} to {name}")
        unfinished.rename(target)
    return target


if __name__ == "__main__":
    take_turn(load, ("bf16", "bf16 one by one", "Q8_0", "Q8_0 one by one"), ("llama-cpp-python",))
