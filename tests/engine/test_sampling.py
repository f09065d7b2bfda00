"""What SamplingParams promise, through the engine, against a naive decoder on transformers' logits."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from torch import Tensor

from engine.config import EngineOptions
from engine.engine import Engine
from engine.errors import InputError
from engine.model import Decoder
from engine.request import Request, SamplingParams
from engine.tokenizer import TextStream, Tokenizer
from tests.engine.conftest import save_checkpoint

PROMPT = [5, 9, 9, 31, 7, 9]
OTHERS = [[n] * (3 * n) for n in range(2, 8)]


@dataclass(frozen=True)
class Small:
    folder: Path
    model: Any

    def logits(self, tokens: Sequence[int]) -> Tensor:
        with torch.no_grad():
            logits: Tensor = self.model(torch.tensor([tokens])).logits[0]
        return logits


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    folder = save_checkpoint("llama", tmp_path_factory.mktemp("llama"))
    return Small(folder, transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval())


def start(folder: Path, **options: Any) -> Engine:
    return Engine(folder, EngineOptions(dtype="float32", **options))


def among_others(folder: Path, params: SamplingParams, **options: Any) -> Request:
    """Run PROMPT in a batch with greedy neighbours."""
    engine = start(folder, **{"block_size": 8, "num_blocks": 200} | options)
    for prompt in OTHERS:
        engine.add(prompt, SamplingParams(max_tokens=30))
    request = engine.add(PROMPT, params)
    for _ in engine.run():
        engine.scheduler.check()
    return request


def naive(small: Small, params: SamplingParams, count: int) -> list[int]:
    """Greedy, by the definitions: one token at a time, every penalty over the whole vocabulary."""
    tokens = list(PROMPT)
    for _ in range(count):
        logits = small.logits(tokens)[-1]
        for token, bias in params.logit_bias.items():
            logits[token] += bias
        output = tokens[len(PROMPT) :]
        for token in range(len(logits)):
            if token in tokens:
                positive = logits[token] > 0
                logits[token] *= 1 / params.repetition_penalty if positive else params.repetition_penalty
            logits[token] -= params.frequency_penalty * output.count(token)
            logits[token] -= params.presence_penalty * (token in output)
        tokens.append(int(logits.argmax()))
    return tokens[len(PROMPT) :]


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize(
    "fields",
    [
        {"repetition_penalty": 1.8},
        {"repetition_penalty": 0.7},
        {"presence_penalty": 1.9},
        {"frequency_penalty": 1.3},
        {"frequency_penalty": -0.8, "presence_penalty": 0.5, "repetition_penalty": 1.2},
        {"logit_bias": {166: -100, 40: 2.5}},
    ],
    ids=str,
)
def test_penalties_and_bias(small: Small, fields: dict[str, Any], overlap: bool) -> None:
    favourites = dict.fromkeys([9, 31, 40, 77, 120], 9.0)  # so that tokens recur
    params = SamplingParams(max_tokens=24, ignore_eos=True, **{"logit_bias": favourites} | fields)
    expected = naive(small, params, 24)
    without = SamplingParams() if "logit_bias" in fields else SamplingParams(logit_bias=favourites)
    assert expected != naive(small, without, 24), "this changes nothing, and so tests nothing"
    assert among_others(small.folder, params, overlap=overlap).output == expected


def test_min_p_draws_only_what_is_likely_enough(small: Small) -> None:
    logprobs = small.logits(PROMPT)[-1].mul(1 / 2.0).log_softmax(-1)
    likely = set(torch.nonzero(logprobs >= logprobs.max() + np.log(0.3)).flatten().tolist())
    engine = start(small.folder)
    requests = [
        engine.add(PROMPT, SamplingParams(max_tokens=1, temperature=2.0, min_p=0.3, seed=seed)) for seed in range(200)
    ]
    for _ in engine.run():
        pass
    assert {request.output[0] for request in requests} == likely
    assert 1 < len(likely) < 30


@pytest.mark.parametrize("overlap", [False, True])
def test_a_seed_gives_the_same_text_alone_in_a_batch_of_32_and_after_preemption(small: Small, overlap: bool) -> None:
    params = SamplingParams(max_tokens=40, temperature=1.3, top_k=50, top_p=0.95, seed=7, ignore_eos=True)
    alone = start(small.folder, overlap=overlap).generate([PROMPT], params)[0].output

    engine = start(small.folder, overlap=overlap)
    others = [engine.add([n] * n, SamplingParams(max_tokens=40, temperature=0.9, seed=n)) for n in range(2, 33)]
    batched = engine.add(PROMPT, params)
    most = max(result.record.decode_sequences for result in engine.run())
    assert most >= 24
    assert len(others) == 31

    short = start(small.folder, overlap=overlap, block_size=8, num_blocks=18)
    for prompt in OTHERS[:3]:
        short.add(prompt, SamplingParams(max_tokens=40, ignore_eos=True))
    preempted = short.add(PROMPT, params)
    for _ in short.run():
        pass
    assert preempted.preemptions > 0
    assert batched.output == preempted.output == alone
    assert alone != start(small.folder).generate([PROMPT], SamplingParams(max_tokens=40, ignore_eos=True))[0].output


def test_min_tokens_and_stop_ids(small: Small) -> None:
    free = naive(small, SamplingParams(), 30)
    end = free[3]
    stopped = among_others(small.folder, SamplingParams(max_tokens=30, stop_token_ids=(end,), ignore_eos=True))
    assert (stopped.output, stopped.finish_reason) == (free[: free.index(end) + 1], "stop")
    held = SamplingParams(max_tokens=30, min_tokens=9, stop_token_ids=(end,), ignore_eos=True)
    longer = among_others(small.folder, held)
    assert end not in longer.output[:9]
    assert longer.output[: free.index(end)] == free[: free.index(end)]
    assert len(longer.output) >= 9


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("options", [{}, {"token_budget": 7}, {"num_blocks": 22}], ids=str)
def test_logprobs_are_the_models_own(small: Small, options: dict[str, Any], overlap: bool) -> None:
    """Also where a prompt comes in chunks, is in the prefix cache, or is computed twice after a preemption."""
    params = SamplingParams(
        max_tokens=30, ignore_eos=True, logprobs=3, prompt_logprobs=2, presence_penalty=1.0, temperature=1.0
    )
    request = among_others(small.folder, params, overlap=overlap, **options)
    if "num_blocks" in options:
        assert request.preemptions
    logprobs = small.logits(request.tokens).log_softmax(-1)
    scored = [*request.prompt_logprobs, *request.logprobs]
    assert [entry.token for entry in scored] == request.tokens[1:]
    for place, entry in enumerate(scored):
        assert entry.logprob == pytest.approx(float(logprobs[place, entry.token]), abs=1e-4)
        count = 2 if place < len(PROMPT) - 1 else 3
        values, ids = logprobs[place].topk(count)
        assert [token for token, _ in entry.top] == ids.tolist()
        assert [value for _, value in entry.top] == pytest.approx(values.tolist(), abs=1e-4)


def test_a_scored_prompt_is_computed_though_it_is_cached_and_never_scored_all_at_once(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = start(small.folder, block_size=8)
    prompt = [(7 * n) % 300 for n in range(400)]
    engine.generate([prompt], SamplingParams(max_tokens=1))
    rows: list[int] = []
    head = Decoder.logits

    def counting(decoder: Decoder, hidden: Tensor) -> Tensor:
        rows.append(len(hidden))
        return head(decoder, hidden)

    monkeypatch.setattr(Decoder, "logits", counting)
    request = engine.generate([prompt], SamplingParams(max_tokens=1, prompt_logprobs=0))[0]
    assert request.cached_tokens == 0
    assert len(request.prompt_logprobs) == 399
    assert request.prompt_logprobs[0].top == []
    assert max(rows) == 64
    again = engine.generate([prompt], SamplingParams(max_tokens=1))[0]
    assert again.cached_tokens == 392


class OddTokens:
    """A mask that lets odd tokens pass, and calls it a day after five."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def allowed(self) -> NDArray[np.bool_]:
        return np.array([token % 2 == 1 for token in range(320)])

    def accept(self, token: int) -> bool:
        self.seen.append(token)
        return len(self.seen) == 5


@pytest.mark.parametrize("overlap", [False, True])
def test_a_mask_limits_the_draws_and_may_end_them(small: Small, overlap: bool) -> None:
    engine = start(small.folder, overlap=overlap)
    free = engine.add(PROMPT, SamplingParams(max_tokens=20, ignore_eos=True))
    mask = OddTokens()
    params = SamplingParams(max_tokens=20, temperature=2.0, ignore_eos=True)
    request = engine.add(PROMPT, params, mask=mask)
    for _ in engine.run():
        pass
    assert request.output == mask.seen
    assert all(token % 2 for token in request.output)
    assert (len(request.output), request.finish_reason) == (5, "stop")
    assert free.output == naive(small, SamplingParams(), 20)


@pytest.fixture(scope="module")
def talker(smollm2: Path) -> Engine:
    return start(smollm2, num_blocks=40)


@pytest.mark.xdist_group("smollm2")
def test_stop_texts_end_the_output_before_them(talker: Engine) -> None:
    prompt = talker.tokenizer.encode("The capital of France is")
    whole = talker.tokenizer.decode(talker.generate([prompt], SamplingParams(max_tokens=24))[0].output) or ""
    for stop, min_tokens in ((("answer is",), 0), (("never said", "wer", "The"), 0), (("Paris", "The"), 3)):
        params = SamplingParams(max_tokens=24, stop=stop, min_tokens=min_tokens)
        request = talker.generate([prompt], params)[0]
        text = talker.tokenizer.text(request.output, stop, min_tokens)
        assert request.finish_reason == "stop"
        assert text == whole[: min(whole.index(s) for s in stop if s in whole and not (min_tokens and s == "Paris"))]
        pieces = list(talker.stream(prompt, params))
        assert "".join(piece.text or "" for piece in pieces) == text
        assert pieces[-1].finish_reason == "stop"


@pytest.mark.xdist_group("smollm2")
@pytest.mark.parametrize("text", ["naïve café – 日本語 🙂🙃 done", "  two  spaces\n\n\tand tabs ", "plain"])
def test_a_text_stream_gives_the_whole_text_and_no_broken_character(smollm2: Path, text: str) -> None:
    tokenizer = Tokenizer.load(smollm2)
    ids = tokenizer.encode(text)
    stream = TextStream(tokenizer)
    pieces = [stream.push(token) for token in ids]
    assert "\ufffd" not in "".join(pieces)
    assert "".join([*pieces, stream.flush()]) == text


SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 20},
        "people": {"type": "integer", "minimum": 0, "maximum": 99999},
    },
    "required": ["city", "people"],
    "additionalProperties": False,
}


@pytest.mark.xdist_group("smollm2")
@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_json_schema_is_kept_to(talker: Engine, temperature: float) -> None:
    prompt = talker.tokenizer.encode("<|im_start|>user\nTell me a joke.<|im_end|>\n<|im_start|>assistant\n")
    params = [
        SamplingParams(max_tokens=120, temperature=temperature, seed=seed, json_schema=SCHEMA) for seed in range(3)
    ]
    requests = [talker.add(prompt, p) for p in params]
    for _ in talker.run():
        pass
    for request in requests:
        assert request.finish_reason == "stop"
        jsonschema.validate(json.loads(talker.tokenizer.decode(request.output) or ""), SCHEMA)


@pytest.mark.xdist_group("smollm2")
def test_a_schema_that_is_none_is_refused(talker: Engine) -> None:
    with pytest.raises(InputError, match="json_schema: Invalid type: objct"):
        talker.add([1, 2], SamplingParams(json_schema={"type": "objct"}))
    assert talker.idle
