"""Every format, and a file read by whichever fits."""

from collections.abc import Iterable
from datetime import date
from typing import BinaryIO

from costadvisor.spend.formats import (
    anthropic_cost,
    anthropic_cost_csv,
    anthropic_usage,
    anthropic_usage_csv,
    aws_cur,
    azure_costs,
    deepseek_cost,
    deepseek_usage,
    focus,
    google_billing,
    helicone,
    langfuse,
    litellm_daily,
    litellm_log,
    openai_cost_csv,
    openai_costs,
    openai_usage,
    openrouter_activity,
    openrouter_log,
    template_csv,
)
from costadvisor.spend.formats import reading as _reading
from costadvisor.spend.formats.opening import Limits, Progress
from costadvisor.spend.formats.reading import Reading, Sink
from costadvisor.spend.formats.sniffing import Format

_ALL: Iterable[Format] = (
    template_csv,
    anthropic_cost,
    anthropic_cost_csv,
    anthropic_usage,
    anthropic_usage_csv,
    aws_cur,
    azure_costs,
    deepseek_cost,
    deepseek_usage,
    focus,
    google_billing,
    helicone,
    langfuse,
    litellm_daily,
    litellm_log,
    openai_cost_csv,
    openai_costs,
    openai_usage,
    openrouter_activity,
    openrouter_log,
)
FORMATS: dict[str, Format] = {form.NAME: form for form in _ALL}


def read(
    stream: BinaryIO,
    *,
    today: date,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    forced: Format | None = None,
    sink: Sink = lambda _: None,
    progress: Progress = lambda _: None,
) -> Reading | None:
    """What the file says, its format found out by content; None where that is none we know. See `reading.read`."""
    return _reading.read(
        stream, formats=FORMATS, today=today, limits=limits, forced=forced, sink=sink, progress=progress
    )
