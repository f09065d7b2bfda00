"""OpenAI Usage API, `GET /v1/organization/usage/completions`: a page, a list of pages, or one page a line.

`input_tokens` includes the cached ones. Usage carries no money. User ids and e-mail addresses are dropped here.
"""

from collections.abc import Iterator

import polars as pl

from costadvisor.spend.formats import values
from costadvisor.spend.formats.cells import Cells

NAME = "openai_usage"
LABEL = "OpenAI Usage API (JSON)"
MARKS = ("start_time", "end_time", "input_tokens")
COLUMNS = (
    *MARKS, "input_cached_tokens", "output_tokens", "input_audio_tokens", "output_audio_tokens", "num_model_requests",
    "project_id", "api_key_id", "model", "batch", "service_tier",
)  # fmt: skip
MAPPING = {"input, not cached": "input_tokens − input_cached_tokens", "cost": "not in this file"}
_AUDIO = ("input_audio_tokens", "output_audio_tokens")


def rows(cells: Cells) -> Iterator[pl.DataFrame]:
    total, cached = cells.count("input_tokens"), cells.count("input_cached_tokens")
    cells.refuse(total.is_null(), "input_tokens", "is not there; every result of the Usage API has it")
    cells.refuse(cached > total, "input_cached_tokens", "is more than input_tokens, which must include the cached ones")
    start = cells.required(cells.moment("start_time", read=values.unix_moment), "start_time")
    end = cells.required(cells.moment("end_time", read=values.unix_moment), "end_time")
    cells.refuse(end <= start, "end_time", "is not after start_time")
    model = cells.name("model")
    yield cells.figures(
        period=(start, end),
        provider="openai",
        model=model,
        scope=cells.scope("project_id", "api_key_id"),
        requests=cells.count("num_model_requests"),
        input_uncached=total - cached.fill_null(0),
        cache_read=cached,
        output=cells.count("output_tokens"),
        tier=cells.name("service_tier"),
        batch=cells.flag("batch"),
    )
    _notices(cells, model)


def _notices(cells: Cells, model: pl.Series) -> None:
    if (model == "").any():
        cells.notices["Some usage names no model. Ask the Usage API with group_by=model to see spend by model."] = 0
    audio = sum(int(cells.count(name).sum() or 0) for name in _AUDIO)
    if audio:
        cells.notices["{rows} audio tokens are left out: only text is compared with serving it yourselves."] = audio
