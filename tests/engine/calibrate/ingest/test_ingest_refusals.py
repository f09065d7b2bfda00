"""What is refused, each with one line that names the file, the field and what is right."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.calibrate.ingest import Facts, Given, ingest, ingest_files
from engine.calibrate.record import Record
from engine.errors import InputError

Run = Callable[..., dict[str, Any]]
Taken = Callable[..., Record]
GIVEN = Given(facts=Facts(model="SmolLM2-135M-Instruct", gpu="H100 SXM", gpus=1), today="2026-12-01")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "line 1: is no JSON"),
        (b"\xff\xfe\x00", "is no JSON text"),
        (b"[" * 100_000, "is no JSON"),
        (b'{"hw": ' + b"9" * 5000 + b"}", "is no JSON text"),
        (b'{"a": 1}\n{"b": \n', "line 2: is no JSON"),
        (b"[]", "must hold JSON objects"),
        (b"[1, 2]", "must hold JSON objects"),
        (b'{"model": "x", "tokens_per_s": 2500}', "is no result file that is known; give one of vLLM"),
        (b"request,ttft\n1,20\n", "is no JSON"),
    ],
)
def test_what_is_no_result_file(data: bytes, says: str) -> None:
    with pytest.raises(InputError, match=r"^run\.json") as refused:
        ingest(data, "run.json", GIVEN)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mean_ttft_ms", float("nan")),
        ("mean_ttft_ms", 10**400),
        ("model_id", "two\nlines"),
        ("p99_ttft_ms", float("inf")),
        ("p95_tpot_ms", -1.0),
        ("request_throughput", 0),
        ("output_throughput", None),
        ("duration", "4 s"),
        ("completed", 0),
        ("completed", True),
        ("total_input_tokens", float("-inf")),
        ("request_rate", -8.0),
        ("burstiness", 0),
        ("request_rate", "fast"),
        ("max_concurrency", 2.5),
    ],
)
def test_absurd_figures_are_named(run: Run, taken: Taken, field: str, value: object) -> None:
    with pytest.raises(InputError, match=rf"^run-0\.json: {field} "):
        taken(run(**{field: value}))


@pytest.mark.parametrize("value", [float("nan"), -0.02, "slow"])
def test_absurd_figures_in_a_list_are_named(samples: Path, value: object) -> None:
    listed = json.loads((samples / "vllm" / "rate-16.json").read_text())
    listed["ttfts"][3] = value
    with pytest.raises(InputError, match=r"ttfts\[3\] is "):
        ingest(json.dumps(listed).encode(), "run.json", GIVEN)


def test_time_per_output_token_that_includes_the_first_is_no_tpot(samples: Path) -> None:
    report = json.loads((samples / "guidellm" / "version-1-concurrent.json").read_text())
    for benchmark in report["benchmarks"]:
        del benchmark["metrics"]["inter_token_latency_ms"]
    with pytest.raises(InputError, match=r"time_per_output_token_ms, which includes the time to the first token"):
        ingest(json.dumps(report).encode(), "report.json", GIVEN)


@pytest.mark.parametrize(
    "summary",
    [
        {"results_inter_token_latency_s_mean": 0.02, "results_ttft_s_mean": 0.1, "num_concurrent_requests": 4},
        [{"error_code": None, "inter_token_latency_s": 0.02, "ttft_s": 0.1, "end_to_end_latency_s": 1.0}],
    ],
)
def test_llmperf_is_refused_by_name(summary: object) -> None:
    """The fields of its summary and of its single responses."""
    with pytest.raises(InputError, match="LLMPerf's, whose inter-token latency includes the time to the first token"):
        ingest(json.dumps(summary).encode(), "run.json", GIVEN)


@pytest.mark.parametrize(
    ("sample", "field", "value", "says"),
    [
        ("guidellm/version-2.json", ("metadata", "version"), 3, "metadata.version is 3"),
        ("guidellm/version-2.json", ("metadata", "version"), None, "metadata.version is None"),
        ("aiperf/rate-8.json", ("schema_version",), "2.0", "schema_version is 2.0"),
        ("genai-bench/concurrency-4.json", ("aggregated_metrics", "iteration_type"), "batch_size", "iteration_type"),
        ("genai-bench/concurrency-4.json", ("_time_unit",), "min", "_time_unit is 'min'"),
        ("inferencex/concurrency-8.json", ("is_multinode",), True, "prefill and decode run apart"),
        ("aiperf/rate-8.json", ("time_to_first_token", "unit"), "tokens", "time_to_first_token has unit 'tokens'"),
    ],
)
def test_forms_that_are_not_known(samples: Path, sample: str, field: tuple[str, ...], value: Any, says: str) -> None:
    document = json.loads((samples / sample).read_text())
    inside = document
    for name in field[:-1]:
        inside = inside[name]
    inside[field[-1]] = value
    with pytest.raises(InputError, match=says):
        ingest(json.dumps(document).encode(), "run.json", GIVEN)


def test_figures_that_are_absurd_together(samples: Path) -> None:
    listed = json.loads((samples / "vllm" / "rate-16.json").read_text())
    with pytest.raises(InputError, match="absurd together"):
        ingest(json.dumps(listed | {"duration": 5e-324}).encode(), "run.json", GIVEN)


def test_one_record_is_of_one_model(run: Run, taken: Taken) -> None:
    with pytest.raises(InputError, match=r"model is meta/Llama-3.1-8B, in another result it is SmolLM2-135M-Instruct"):
        taken(run(), run(model_id="meta/Llama-3.1-8B", request_rate=16))


def test_one_record_is_of_one_workload(run: Run, taken: Taken) -> None:
    with pytest.raises(InputError, match=r"mean_input_tokens from 128 to 1024; import one workload at a time"):
        taken(run(), run(total_input_tokens=102_400, request_rate=16))


def test_one_record_is_of_one_tool(samples: Path) -> None:
    files = [(name, (samples / name).read_bytes()) for name in ("vllm/rate-8.json", "aiperf/rate-8.json")]
    with pytest.raises(InputError, match="of several kinds"):
        ingest_files(files, GIVEN)


def test_a_file_counts_once(samples: Path) -> None:
    data = (samples / "vllm" / "rate-8.json").read_bytes()
    with pytest.raises(InputError, match="given twice"):
        ingest_files([("a.json", data), ("b.json", data)], GIVEN)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"gpu": "A100"}, "--gpu A100: the file says H100"),
        ({"gpus": 8}, "--gpus 8: the file says 1"),
        ({"model": "Qwen3-8B"}, "--model Qwen3-8B: the file says SmolLM2-135M-Instruct"),
        ({"dtype": "fp8"}, "--dtype fp8: the file says bf16"),
        ({"speculative": True}, "--speculative on: the file says off"),
        ({"engine_version": "0.9"}, "--engine-version 0.9: the file says v0.0.0"),
        ({"tensor_parallel": 2}, "--tensor-parallel 2: the file says 1"),
        ({"gpu": "CPU"}, "--gpu CPU: the file says H100"),
    ],
)
def test_flags_that_contradict_the_file(samples: Path, given: dict[str, Any], says: str) -> None:
    data = (samples / "inferencex" / "concurrency-8.json").read_bytes()
    with pytest.raises(InputError) as refused:
        ingest(data, "row.json", Given(facts=Facts(**given), today="2026-12-01"))
    assert says in str(refused.value)


@pytest.mark.parametrize("name", ["h100 sxm", "NVIDIA H100 80GB HBM3", "H100-SXM", "H100 SXM5", "H100 PCIe"])
def test_other_names_of_the_same_gpu_are_kept(samples: Path, name: str) -> None:
    data = (samples / "inferencex" / "concurrency-8.json").read_bytes()
    record = ingest(data, "row.json", Given(facts=Facts(gpu=name), today="2026-12-01"))
    assert record.hardware.gpus[0].name == name


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (None, "the file says H100, which may be H100 NVL or H100 PCIe or H100 SXM; say which with --gpu"),
        ("H100", "H100 may be H100 NVL or H100 PCIe or H100 SXM; say which"),
    ],
)
def test_a_gpu_that_may_be_several_is_asked_for(samples: Path, name: str | None, says: str) -> None:
    data = (samples / "inferencex" / "concurrency-8.json").read_bytes()
    with pytest.raises(InputError, match=f"^{says}$"):
        ingest(data, "row.json", Given(facts=Facts(gpu=name), today="2026-12-01"))


def test_a_gpu_that_nobody_knows_is_a_slip_of_the_pen_unless_the_file_says_so(samples: Path) -> None:
    row = (samples / "inferencex" / "concurrency-8.json").read_text()
    new = ingest(row.replace('"h100"', '"gb300"').encode(), "row.json", Given(today="2026-12-01"))
    assert new.hardware.gpus[0].name == "GB300"
    data = (samples / "vllm" / "rate-8.json").read_bytes()
    with pytest.raises(InputError, match=r"GPU 'Banana' is not in gpus.json; known are A10, .*H100 SXM, "):
        ingest(data, "run.json", replace(GIVEN, facts=replace(GIVEN.facts, gpu="Banana")))


@pytest.mark.parametrize(
    ("model_id", "name"),
    [
        ("meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-8B"),
        ("/models/models--openai--gpt-oss-120b/snapshots/b5c939de8f754692c1647ca79fbf85e8/", "openai/gpt-oss-120b"),
        ("/home/anna/secret/Qwen3-8B", "Qwen3-8B"),
        (r"C:\models\Qwen3-8B", "Qwen3-8B"),
    ],
)  # fmt: skip
def test_a_path_is_no_name(run: Run, model_id: str, name: str) -> None:
    given = Given(facts=Facts(gpu="H100 SXM", gpus=1))
    record = ingest(json.dumps(run(model_id=model_id)).encode(), "run.json", given)
    assert record.model.name == name


def test_what_lacks_is_named_in_one_line(run: Run) -> None:
    data = json.dumps(run(model_id="/cache/b5c939de8f754692c1647ca79fbf85e8c1e70f8a")).encode()
    with pytest.raises(InputError, match=r"does not say what was measured; give --model, --gpu, --gpus$"):
        ingest(data, "run.json", Given())
    complete = ingest(data, "run.json", GIVEN)
    assert (complete.model.dtype, complete.engine.prefix_cache, complete.engine.tensor_parallel) == (None, None, None)


def test_more_ranks_than_gpus(samples: Path) -> None:
    data = (samples / "vllm" / "rate-8.json").read_bytes()
    with pytest.raises(InputError, match="--tensor-parallel 4 needs as many GPUs; --gpus is 2"):
        ingest(data, "run.json", Given(facts=Facts(gpu="H100 SXM", gpus=2, tensor_parallel=4)))


def test_a_file_without_its_load_asks_for_it(samples: Path) -> None:
    data = (samples / "aiperf" / "requests-rate-8.jsonl").read_bytes()
    with pytest.raises(InputError, match=r"give --request-rate R \(random arrivals\) or --concurrency N"):
        ingest(data, "rows.jsonl", GIVEN)
    assert ingest(data, "rows.jsonl", replace(GIVEN, concurrency=3)).levels[0].concurrency == 3


def test_a_load_that_contradicts_the_file(samples: Path) -> None:
    data = (samples / "vllm" / "rate-8.json").read_bytes()
    with pytest.raises(InputError, match="the file says how requests were sent"):
        ingest(data, "run.json", replace(GIVEN, requests_per_s=9.0))


def test_a_day_that_contradicts_the_file(samples: Path) -> None:
    data = (samples / "vllm" / "rate-8.json").read_bytes()
    with pytest.raises(InputError, match="--measured-on 2026-11-29: the file says 2026-11-30"):
        ingest(data, "run.json", replace(GIVEN, measured_on="2026-11-29"))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"requests_per_s": 0.0}, "--request-rate is 0"),
        ({"concurrency": 0}, "--concurrency is 0"),
        ({"requests_per_s": 1.0, "concurrency": 1}, "give the one that was used"),
        ({"measured_on": "30.11.2026"}, "must be a day"),
        ({"facts": Facts(gpus=0)}, "--gpus is 0"),
        ({"facts": Facts(gpu="CPU", gpus=1)}, "leave it out with --gpu CPU"),
    ],
)
def test_words_that_make_no_sense(words: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Given(**words)


def test_a_description_without_runs(samples: Path) -> None:
    data = (samples / "genai-bench" / "experiment_metadata.json").read_bytes()
    with pytest.raises(InputError, match="only describes a benchmark; give the files of its runs"):
        ingest(data, "experiment_metadata.json", Given(today="2026-12-01"))
