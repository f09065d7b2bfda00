"""The page that imports measurements: other tools' files with what a person adds, and each thing that is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from costadvisor.accounts.models import Organization, User
from costadvisor.calibration.models import CalibrationRecord

IMPORT = "/o/acme/calibrations/import/"
SAMPLES = Path("tests/engine/calibrate/ingest/samples")
VLLM = [SAMPLES / "vllm" / f"rate-{rate}.json" for rate in (8, 16, 24)]
WORDS = {"gpu": "H100 SXM", "gpus": "1", "slo_preset": "llama-2-70b-server"}


@pytest.fixture
def client(alice: User, acme: Organization, log_in: Callable[[User], Client]) -> Client:
    return log_in(alice)


def send(client: Client, files: list[Path], **words: Any) -> Any:
    uploads = [SimpleUploadedFile(file.name, file.read_bytes()) for file in files]
    return client.post(IMPORT, words | {"file": uploads})


@pytest.mark.parametrize(
    ("files", "added", "tool"),
    [
        (VLLM, {}, "vllm"),
        ([SAMPLES / "sglang" / "rates.jsonl"], {"model": "Qwen/Qwen3-8B"}, "sglang"),
        ([SAMPLES / "aiperf" / "rate-8.json", SAMPLES / "aiperf" / "rate-16.json"], {}, "aiperf"),
        ([SAMPLES / "guidellm" / "version-2.json"], {}, "guidellm"),
    ],
)
def test_a_tools_files_become_a_record_with_its_page(
    client: Client, files: list[Path], added: dict[str, str], tool: str
) -> None:
    answer = send(client, files, **WORDS | added)
    assert answer.status_code == 302, answer.context["form"].errors
    stored = CalibrationRecord.objects.get()
    record = stored.content
    assert record.source.tool.lower().startswith(tool)
    assert record.hardware.gpus[0].name.startswith("H100")
    assert record.slo.preset == "llama-2-70b-server"
    assert stored.file_name == ", ".join(file.name for file in files)
    page = client.get(answer["Location"]).content.decode()
    assert stored.sha256 in page
    again = send(client, files, **WORDS | added).content.decode()
    assert "stored already" in again


@pytest.mark.parametrize(
    ("words", "field", "complaint"),
    [
        ({"gpu": ""}, "gpu", "does not say what was measured; give “GPU”"),
        ({"gpu": "H1OO"}, "gpu", "GPU &#x27;H1OO&#x27; is not in"),
        ({"gpu": "H100"}, "gpu", "say which"),
        ({"gpu": "CPU"}, "gpus", "is for GPUs; leave it out with “GPU” CPU"),
        ({"gpus": "0"}, "gpus", "greater than or equal to 1"),
        ({"gpus": "1", "tensor_parallel": "2"}, "tensor_parallel", "“Tensor parallel” 2 needs as many GPUs"),
        ({"model": "another/model"}, "model", "the file says"),
        ({"request_rate": "3"}, "request_rate", "the file says how requests were sent"),
        ({"request_rate": "3", "concurrency": "4"}, "request_rate", "give the one that was used"),
        ({"request_rate": "nan"}, "request_rate", "Enter a number"),
        ({"concurrency": "1.5"}, "concurrency", "Enter a whole number"),
        ({"measured_on": "yesterday"}, "measured_on", "Write a day such as 2026-11-30"),
        ({"measured_on": "2001-01-01"}, "measured_on", "leave the field empty"),
        ({"ttft_p95_ms": "0"}, "ttft_p95_ms", "greater than or equal to 1"),
        ({"slo_preset": "fast"}, "slo_preset", "Select a valid choice"),
        ({"prefix_cache": "maybe"}, "prefix_cache", "Select a valid choice"),
        ({"dtype": "x" * 201}, "dtype", "at most 200 characters"),
    ],
)
def test_a_bad_word_is_named_by_its_field_and_nothing_is_stored(
    client: Client, words: dict[str, str], field: str, complaint: str
) -> None:
    page = send(client, VLLM, **WORDS | words).content.decode()
    assert complaint in page
    assert f'href="#id_{field}"' in page
    assert "--" not in page.partition("errors")[2].partition("</ul>")[0].replace("<!--", "")
    assert not CalibrationRecord.objects.exists()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"hello", "is no JSON"),
        (b"{}", "is no result file that is known"),
        (b"[1]", "must hold JSON objects"),
        (b'{"schema": "costadvisor.calibration/9"}', "no calibration record that we can read"),
        (b"\xff\xfe", "is no JSON text"),
    ],
)
def test_a_bad_file_is_named_and_nothing_is_stored(client: Client, content: bytes, complaint: str) -> None:
    page = client.post(IMPORT, WORDS | {"file": SimpleUploadedFile("bad.json", content)}).content.decode()
    assert complaint in page
    assert 'href="#id_file"' in page
    assert not CalibrationRecord.objects.exists()


def test_files_that_do_not_belong_together_are_refused(client: Client, make_record: Callable[[], Any]) -> None:
    mixed = send(client, [VLLM[0], SAMPLES / "sglang" / "rates.jsonl"], **WORDS).content.decode()
    assert "import one kind at a time" in mixed
    twice = send(client, [VLLM[0], VLLM[0]], **WORDS).content.decode()
    assert "the same file was given twice" in twice.lower()
    ours = SimpleUploadedFile("r.json", make_record().to_json().encode())
    both = [ours, SimpleUploadedFile("v.json", VLLM[0].read_bytes())]
    assert "is a record already; import it alone" in client.post(IMPORT, {"file": both}).content.decode()
    assert "This field is required" in client.post(IMPORT, {}).content.decode()
    assert not CalibrationRecord.objects.exists()


def test_generated_text_never_reaches_the_record(client: Client) -> None:
    raw = json.loads(VLLM[0].read_text()) | {"generated_texts": ["the secret answer"]}
    file = SimpleUploadedFile("v.json", json.dumps(raw).encode())
    answer = client.post(IMPORT, WORDS | {"file": file})
    assert answer.status_code == 302, answer.context["form"].errors
    assert "secret" not in CalibrationRecord.objects.get().canonical_json
