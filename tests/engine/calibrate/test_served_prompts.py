"""A small real model in a process of its own: its prefix cache finds what a workload means it to."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import tokenizers
import transformers

from engine.calibrate.level import LevelLog, LevelSpec
from engine.calibrate.simulator import simulate
from engine.calibrate.targets.embedded import EmbeddedTarget
from engine.calibrate.workload import Content, Corpus, Lengths, Span
from engine.calibrate.workload.lengths import found_share
from engine.config import EngineOptions, SchedulerConfig
from engine.errors import InputError
from engine.tokenizer import Tokenizer
from engine.worker import corpus_tokens

WORDS = [f"word{number}" for number in range(300)]
CONFIG = {
    "model_type": "llama",
    "vocab_size": 320,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 1024,
}
PAIRS = (Lengths(120, 4), Lengths(300, 6), Lengths(210, 2))
LIMITS = SchedulerConfig(max_batch=8, block_size=16, num_blocks=400, token_budget=256, max_model_len=1024)
OPTIONS = EngineOptions(
    max_batch=8, block_size=16, num_blocks=400, token_budget=256, dummy_weights=True, dtype="float32", device="cpu"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tiny")
    (made / "config.json").write_text(json.dumps(CONFIG))
    words = tokenizers.models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token=WORDS[0])
    inner = tokenizers.Tokenizer(words)
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=inner).save_pretrained(made)
    return made


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[EmbeddedTarget]:
    target = EmbeddedTarget(folder, OPTIONS, threads=1)
    target.start(lambda: False)
    yield target
    target.close()


def level(lengths: tuple[Lengths, ...], content: Content, requests: int = 60) -> LevelSpec:
    """Open loop, each request about when the one before it is done."""
    arrivals = tuple(number * 0.02 for number in range(requests))
    return LevelSpec("L1", "verification", 7, lengths, 0.02 * requests, 20.0, arrivals=arrivals, content=content)


def run(target: EmbeddedTarget, spec: LevelSpec) -> LevelLog:
    log = target.run(spec, lambda: False, lambda *line: None)
    assert all(row.finished for row in log.requests)
    return log


def cached(log: LevelLog) -> list[int]:
    return [row.cached for row in log.requests]


def hit_share(log: LevelLog) -> float:
    return sum(cached(log)) / sum(row.input for row in log.requests)


@pytest.mark.parametrize("share", [0.0, 0.35, 0.8])
def test_the_share_asked_for_is_found_in_the_engine_as_in_the_simulator(engine: EmbeddedTarget, share: float) -> None:
    spec = level(PAIRS, Content(share))
    log = run(engine, spec)
    assert hit_share(log) == pytest.approx(share, abs=0.01)
    assert cached(log) == cached(simulate(LIMITS, lambda *work: 5.0, spec)), "request by request"
    again = run(engine, spec)
    assert cached(again) == cached(log)


def test_a_closed_loop_finds_it_from_its_first_burst_on(engine: EmbeddedTarget) -> None:
    spec = LevelSpec("L1", "step_map", 3, PAIRS, 0.5, 20.0, concurrency=4, content=Content(0.5))
    log = engine.run(spec, lambda: False, lambda *line: None)
    assert min(cached(log)[:4]) > 0
    started = [row for row in log.requests if row.t_first is not None]
    assert sum(row.cached for row in started) / sum(row.input for row in started) == pytest.approx(0.5, abs=0.02)


def test_hash_ids_are_found_in_the_engine_as_in_the_simulator(engine: EmbeddedTarget) -> None:
    turns = tuple(
        Lengths(48 * turn + 20, 3, tuple(Span(100 * who + place, 48) for place in range(turn)))
        for turn in range(1, 8)
        for who in range(3)
    )
    spec = LevelSpec("L1", "step_map", 3, turns, 1.0, 20.0, concurrency=1)
    log = engine.run(spec, lambda: False, lambda *line: None)
    first = log.requests[: len(turns)]
    assert sum(row.cached for row in first) / sum(row.input for row in first) == pytest.approx(found_share(turns))
    assert found_share(turns) > 0.5
    simulated = simulate(LIMITS, lambda *work: 5.0, spec)
    assert cached(log)[: len(turns)] == cached(simulated)[: len(turns)]


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    text = " ".join(WORDS[(7 * n * n + n) % 300] for n in range(3000))
    (tmp_path / "corpus.txt").write_text(text)
    return Corpus(str(tmp_path / "corpus.txt"), hashlib.sha256(text.encode()).hexdigest())


def test_prompts_are_cut_from_a_text(engine: EmbeddedTarget, corpus: Corpus) -> None:
    assert hit_share(run(engine, level(PAIRS, Content(corpus=corpus)))) == 0, "no two prompts begin alike"
    assert hit_share(run(engine, level(PAIRS, Content(0.35, corpus)))) == pytest.approx(0.35, abs=0.01)


def test_a_text_that_changed_is_refused_before_a_level_begins(folder: Path, corpus: Corpus) -> None:
    target = EmbeddedTarget(folder, OPTIONS, threads=1)
    try:
        target.start(lambda: False)
        Path(corpus.path).write_text("another text")
        with pytest.raises(InputError, match="has changed since the calibration began"):
            run(target, level(PAIRS, Content(corpus=corpus)))
    finally:
        target.close()


def test_a_text_that_is_gone_and_a_model_without_a_tokenizer(folder: Path, corpus: Corpus, tmp_path: Path) -> None:
    assert len(corpus_tokens(corpus, Tokenizer.load(folder))) == 3000
    with pytest.raises(InputError, match="has none; leave text out"):
        corpus_tokens(corpus, Tokenizer.load(tmp_path))
    Path(corpus.path).unlink()
    with pytest.raises(InputError, match="can't be read any more"):
        corpus_tokens(corpus, Tokenizer.load(folder))
