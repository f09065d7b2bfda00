"""The form that imports a measurement: our own record, or another tool's result with what its file lacks."""

import re
from typing import Any

from django import forms
from django.core.files.base import File
from django.utils import timezone

from costadvisor.common.refusal import Refusal
from engine.calibrate.ingest import Facts, Given
from engine.calibrate.slo import DEFAULT, PRESETS, Slo
from engine.errors import InputError

MOST_FILES = 50
SWITCHES = [("", "The file says, or nobody knows"), ("on", "On"), ("off", "Off")]
SWITCH = {"on": True, "off": False}
_TEXTS = ("model", "gpu", "engine", "engine_version", "dtype")
_FLAG = re.compile(r"--([a-z]+(?:-[a-z]+)*)")


class FilesInput(forms.ClearableFileInput):
    allow_multiple_selected = True


class FilesField(forms.FileField):
    """One or more files."""

    widget = FilesInput

    def clean(self, data: Any, initial: Any = None) -> "list[File[bytes]]":
        given = data if isinstance(data, list | tuple) else [data]
        if len(given) > MOST_FILES:
            raise forms.ValidationError(f"{len(given)} files are too many; give at most {MOST_FILES}.")
        return [super(FilesField, self).clean(each, initial) for each in given or [None]]


def _text(label: str, help_text: str) -> forms.CharField:
    return forms.CharField(label=label, max_length=200, required=False, help_text=help_text)


class ImportForm(forms.Form):
    file = FilesField(
        label="Result files",
        help_text="One record of python -m engine.calibrate, or the results that one of these tools wrote of one"
        " replica and one workload: vLLM, SGLang, AIPerf, GuideLLM, InferenceX, genai-bench.",
    )
    model = _text("Model that was served", "Such as Qwen/Qwen3-8B.")
    gpu = _text("GPU", "Such as H100 SXM; CPU for a machine without one.")
    gpus = forms.IntegerField(label="GPUs of one replica", min_value=1, max_value=1024, required=False)
    tensor_parallel = forms.IntegerField(label="Tensor parallel", min_value=1, max_value=1024, required=False)
    engine = _text("Engine", "What served it, such as vLLM.")
    engine_version = _text("Version of the engine", "Such as 0.11.0.")
    dtype = _text("Precision of the weights", "Such as bfloat16 or fp8.")
    prefix_cache = forms.ChoiceField(label="Prefix cache", choices=SWITCHES, required=False)
    speculative = forms.ChoiceField(label="Speculative decoding", choices=SWITCHES, required=False)
    request_rate = forms.FloatField(
        label="Requests per second, sent at random",
        min_value=1e-6,
        max_value=1e6,
        required=False,
        help_text="Only for a file that does not say how requests were sent.",
    )
    concurrency = forms.IntegerField(
        label="Requests kept going",
        min_value=1,
        max_value=1_000_000,
        required=False,
        help_text="Instead of a rate, where a new request came when one ended.",
    )
    measured_on = forms.DateField(
        label="Day it was measured",
        required=False,
        input_formats=["%Y-%m-%d"],
        help_text="Such as 2026-11-30, for a file that does not say.",
        error_messages={"invalid": "Write a day such as 2026-11-30."},
    )
    slo_preset = forms.ChoiceField(
        label="Latency target",
        required=False,
        choices=[("", "The numbers beside")] + [(key, preset.label) for key, preset in PRESETS.items()],
        help_text="The rate that the import states is the one inside this target.",
    )
    ttft_p95_ms = forms.FloatField(
        label="Time to first token, p95, ms", min_value=1, max_value=1e7, required=False, initial=DEFAULT.ttft_p95_ms
    )
    tpot_p95_ms = forms.FloatField(
        label="Time per output token, p95, ms", min_value=1, max_value=1e7, required=False, initial=DEFAULT.tpot_p95_ms
    )

    def given(self) -> Given:
        """What the person adds to another tool's files. Raises Refusal for words that contradict each other."""
        data = self.cleaned_data
        words = {name: data[name].strip() or None for name in _TEXTS}
        if words["gpu"] and words["gpu"].upper() == "CPU":
            words["gpu"] = "CPU"
        switches = {name: SWITCH.get(data[name]) for name in ("prefix_cache", "speculative")}
        counts = {name: data[name] for name in ("gpus", "tensor_parallel")}
        day = data["measured_on"]
        try:
            return Given(
                facts=Facts(**words | switches | counts),
                slo=self._slo(),
                requests_per_s=data["request_rate"],
                concurrency=data["concurrency"],
                measured_on=day.isoformat() if day else None,
                today=timezone.now().strftime("%Y-%m-%d"),
            )
        except InputError as error:
            raise in_words(error) from error

    def _slo(self) -> Slo:
        data = self.cleaned_data
        preset = PRESETS.get(data["slo_preset"])
        if preset is not None:
            return Slo(preset.ttft_p95_ms, preset.tpot_p95_ms, preset=data["slo_preset"])
        return Slo(data["ttft_p95_ms"] or DEFAULT.ttft_p95_ms, data["tpot_p95_ms"] or DEFAULT.tpot_p95_ms)


def in_words(error: InputError) -> Refusal:
    """The engine names flags of its command; a page names its fields, and marks the first of them."""
    named = [flag.replace("-", "_") for flag in _FLAG.findall(str(error))]
    fields = [name for name in named if name in ImportForm.base_fields]
    text = _FLAG.sub(lambda found: _label(found[1]), str(error)).replace("leave the flag out", "leave the field empty")
    if text.startswith("GPU ") or text.endswith("; say which"):  # of the table of GPUs, which knows no command
        fields.insert(0, "gpu")
    return Refusal(f"{text[:1].upper()}{text[1:]}.", field=fields[0] if fields else "file")


def _label(flag: str) -> str:
    field = ImportForm.base_fields.get(flag.replace("-", "_"))
    return f"“{field.label}”" if field else f"--{flag}"
