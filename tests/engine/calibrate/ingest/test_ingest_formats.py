"""Each format, on files that the real tools wrote."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.calibrate.ingest import Facts, Given, ingest
from engine.calibrate.record import Record

Read = Callable[..., Record]
GENAI_BENCH = tuple(f"genai-bench/{each}.json" for each in ("experiment_metadata", "concurrency-4", "concurrency-16"))


@pytest.mark.parametrize(
    ("names", "tool", "version", "day"),
    [
        (("vllm/rate-8.json",), "vLLM bench serve", None, "2026-11-30"),
        (("sglang/rates.jsonl",), "SGLang bench_serving", None, "2026-12-01"),
        (("aiperf/rate-8.json",), "AIPerf", "0.13.0", "2026-11-30"),
        (("guidellm/version-1.json",), "GuideLLM", "0.5.4", "2026-11-30"),
        (("guidellm/version-2.json",), "GuideLLM", "0.8.1", "2026-11-30"),
        (("inferencex/concurrency-8.json",), "InferenceX", None, "2026-12-01"),
        (GENAI_BENCH, "genai-bench", "0.0.5", "2026-12-01"),
    ],
)  # fmt: skip
def test_every_format_is_told_by_its_content(
    read: Read, names: tuple[str, ...], tool: str, version: str | None, day: str
) -> None:
    record = read(*names)
    assert (record.source.tool, record.source.version) == (tool, version)
    assert record.created_at[:10] == day, "the day of the measurement, or where no file says so, of the import"
    assert record.model.name == "SmolLM2-135M-Instruct"
    assert [gpu.name for gpu in record.hardware.gpus] == ["H100 SXM"]
    assert [flag.value for flag in record.flags if flag.code == "imported" and flag.level is None] == [
        len(record.levels)
    ]
    assert Record.from_json(record.to_json()) == record


def test_vllm_runs_are_levels_of_one_record(read: Read) -> None:
    record = read("vllm/rate-16.json", "vllm/concurrency-8.json", "vllm/rate-8.json")
    assert [level.id for level in record.levels] == ["concurrency-8", "rate-8", "rate-16"]
    assert [level.mode for level in record.levels] == ["closed", "open", "open"]
    assert [level.offered_requests_per_s for level in record.levels] == [None, 8, 16]
    assert [level.attempted for level in record.levels] == [70, 70, 70]
    assert record.achieved.requests == 210
    assert record.workload.burstiness == 1.0


def test_requests_that_vllm_lists_agree_with_its_own_means(read: Read, samples: Path) -> None:
    told = json.loads((samples / "vllm" / "rate-16.json").read_text())
    level = read("vllm/rate-16.json").levels[0]
    assert level.ttft_ms.mean == pytest.approx(told["mean_ttft_ms"])
    assert level.tpot_ms.mean == pytest.approx(told["mean_tpot_ms"])
    assert level.itl_gap_ms.mean == pytest.approx(told["mean_itl_ms"])
    assert level.ttft_ms.p95 == pytest.approx(told["p95_ttft_ms"], rel=0.2), "nearest rank, not interpolated"
    assert level.ttft_ms.histogram is not None
    assert level.ttft_ms.histogram.n == 70
    assert level.meeting_slo == 70


def test_percentiles_of_too_few_requests_are_not_shown(read: Read) -> None:
    level = read("vllm/rate-8.json").levels[0]
    assert level.ttft_ms.p95 is not None
    assert level.ttft_ms.p99 is None, "70 requests have no p99"


def test_sglang_lines_are_levels(read: Read, samples: Path) -> None:
    told = [json.loads(line) for line in (samples / "sglang" / "rates.jsonl").read_text().splitlines()]
    record = read("sglang/rates.jsonl")
    assert [level.id for level in record.levels] == ["rate-8", "rate-16", "rate-24"]
    assert [level.e2e_ms.mean for level in record.levels] == pytest.approx([run["mean_e2e_latency_ms"] for run in told])
    listed = record.levels[1].tpot_ms
    assert listed.mean == pytest.approx(told[1]["mean_tpot_ms"], rel=1e-3), "SGLang's ends with the stream"


def test_sglang_servers_say_how_they_were_started(samples: Path) -> None:
    """`server_info` as sglang's ServerArgs has it; the sample's server was none of SGLang's."""
    line = json.loads((samples / "sglang" / "rates.jsonl").read_text().splitlines()[0])
    line["server_info"] = {
        "model_path": "Qwen/Qwen3-8B", "version": "0.5.23", "tp_size": 2, "dtype": "bfloat16", "quantization": "fp8",
        "disable_radix_cache": True, "speculative_algorithm": None,
    }  # fmt: skip
    facts = Facts(gpu="H100 SXM", gpus=2)
    record = ingest(json.dumps(line).encode(), "run.jsonl", Given(facts=facts, today="2026-12-01"))
    assert (record.model.name, record.model.dtype) == ("Qwen/Qwen3-8B", "fp8")
    assert (record.software.engine, record.software.engine_version) == ("SGLang", "0.5.23")
    assert (record.engine.tensor_parallel, record.engine.prefix_cache, record.engine.speculative) == (2, False, False)


def test_a_rate_of_infinity_is_closed_loop(samples: Path) -> None:
    """vLLM writes "inf", SGLang the number Infinity, which JSON does not have."""
    line = (samples / "sglang" / "rates.jsonl").read_text().splitlines()[0]
    endless = line.replace('"request_rate":8.0', '"request_rate":Infinity')
    assert endless != line
    facts = Facts(model="x", gpu="H100 SXM", gpus=1)
    record = ingest(endless.encode(), "run.jsonl", Given(facts=facts, today="2026-12-01"))
    assert [level.id for level in record.levels] == ["all-at-once"]
    assert record.grade.letter == "D"


def test_aiperf_summary_and_rows_of_one_run_agree(read: Read) -> None:
    summary = read("aiperf/rate-8.json").levels[0]
    given = Given(facts=Facts(model="x", gpu="CPU"), requests_per_s=8.0)
    record = read("aiperf/requests-rate-8.jsonl", given=given)
    rows = record.levels[0]
    for metric in ("ttft_ms", "tpot_ms", "itl_gap_ms", "e2e_ms"):
        assert getattr(rows, metric).mean == pytest.approx(getattr(summary, metric).mean, rel=1e-6), metric
        assert getattr(rows, metric).n == getattr(summary, metric).n, metric
    assert (rows.finished, rows.output_tokens) == (summary.finished, summary.output_tokens) == (80, 2560)
    assert rows.output_tokens_per_s == pytest.approx(summary.output_tokens_per_s or 0, rel=0.05)
    assert (record.hardware.device, record.hardware.gpus) == ("cpu", ())


def test_aiperf_says_how_it_sent_requests(read: Read) -> None:
    record = read("aiperf/concurrency-4.json", "aiperf/rate-24.json")
    assert [(level.mode, level.concurrency) for level in record.levels] == [("closed", 4), ("open", None)]
    assert [level.burstiness for level in record.levels] == [None, 1.0]


@pytest.mark.parametrize("name", ["guidellm/version-1.json", "guidellm/version-2.json"])
def test_guidellm_takes_the_requests_not_the_tokens(read: Read, samples: Path, name: str) -> None:
    told = json.loads((samples / name).read_text())["benchmarks"][0]
    level = read(name).levels[0]
    tpots = [request["inter_token_latency_ms"] for request in told["requests"]["successful"]]
    assert told["metrics"]["inter_token_latency_ms"]["successful"]["count"] == 70 * 31, "it counts gaps"
    assert level.tpot_ms.n == 70
    assert level.tpot_ms.mean == pytest.approx(sum(tpots) / 70)
    with_ttft = [request["time_per_output_token_ms"] for request in told["requests"]["successful"]]
    assert level.tpot_ms.mean < sum(with_ttft) / 70, "what includes the first token is longer"


def test_guidellm_without_its_requests(read: Read) -> None:
    record = read("guidellm/version-1-concurrent.json")
    assert [(level.mode, level.concurrency) for level in record.levels] == [("closed", 4), ("closed", 16)]
    assert [level.tpot_ms.n for level in record.levels] == [40, 40]
    assert [level.tpot_ms.p95 for level in record.levels] == [None, None], "40 requests have no p95"


def test_inferencex_rows_are_a_gpu_each_and_in_seconds(read: Read, samples: Path) -> None:
    told = json.loads((samples / "vllm" / "concurrency-8.json").read_text())
    record = read("inferencex/concurrency-8.json", given=Given(facts=Facts(gpu="H100 SXM"), today="2026-12-01"))
    level = record.levels[0]
    assert level.output_tokens_per_s == pytest.approx(told["output_throughput"])
    assert level.total_tokens_per_s == pytest.approx(told["total_token_throughput"])
    assert level.ttft_ms.mean == pytest.approx(told["mean_ttft_ms"])
    assert (level.attempted, level.duration_s, level.ttft_ms.n) == (None, None, None), "a row does not count"
    assert (record.software.engine, record.software.engine_version) == ("vllm", "v0.0.0")
    assert (record.model.dtype, record.engine.speculative, record.engine.tensor_parallel) == ("bf16", False, 1)


def test_genai_bench_says_what_served(read: Read, samples: Path) -> None:
    record = read(*GENAI_BENCH, given=Given(facts=Facts(gpu="H100 SXM"), today="2026-12-01"))
    assert [level.concurrency for level in record.levels] == [4, 16]
    told = json.loads((samples / "genai-bench" / "concurrency-4.json").read_text())
    assert record.levels[0].ttft_ms.mean == pytest.approx(1000 * told["aggregated_metrics"]["stats"]["ttft"]["mean"])
    assert (record.software.engine, record.software.engine_version) == ("vLLM", "0.0")


def test_text_stays_at_the_door(samples: Path) -> None:
    run = json.loads((samples / "vllm" / "rate-16.json").read_text())
    secret = "the patient said"
    run |= {"generated_texts": [secret] * 70, "prompts": [secret], "label": secret, "team": secret}
    given = Given(facts=Facts(gpu="H100 SXM", gpus=1))
    assert secret not in ingest(json.dumps(run).encode(), "run.json", given).to_json()


def test_the_same_file_is_the_same_record(read: Read) -> None:
    first, again = read("vllm/rate-8.json"), read("vllm/rate-8.json")
    assert (first.id, first.sha256) == (again.id, again.sha256)
    assert first.id != read("vllm/rate-16.json").id
    together, turned = read("vllm/rate-8.json", "vllm/rate-16.json"), read("vllm/rate-16.json", "vllm/rate-8.json")
    assert together.sha256 == turned.sha256
