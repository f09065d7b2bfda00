"""Third parties' own worked examples as ordinary cases, with nothing in them that the example does not name: no
headroom, no spare, no people, no trend."""

from dataclasses import dataclass
from typing import Any

from costadvisor.economics.figures import percent, prose_usd
from costadvisor.economics.selftest.printed import (
    HOURS,
    Printed,
    break_even_mtok,
    capacity_mtok,
    hours_text,
    hours_to_pay,
    month_text,
    month_usd,
    mtok_text,
    payback_month,
    saved_share,
    usd_per_mtok,
    usd_text,
)

Json = dict[str, Any]
DRAWS = 50  # an example has one right answer, and no range


@dataclass(frozen=True)
class Run:
    case: Json
    printed: tuple[Printed, ...]


@dataclass(frozen=True)
class WorkedExample:
    """`teaches` are ids of lessons."""

    id: str
    by: str
    inputs: str
    teaches: tuple[str, ...]
    runs: tuple[Run, ...]

    @property
    def sound(self) -> bool:
        """False where something that was printed is an error, which must be refused."""
        return all(printed.sound for run in self.runs for printed in run.printed)


def _api(input_usd: str = "0.15", output_usd: str = "0.60") -> Json:
    prices = {"input_usd_per_mtok": input_usd, "output_usd_per_mtok": output_usd}
    return {"id": "today", "kind": "api", "provider": "api", "model": "model", "baseline": True, "prices": prices}


def _fleet(
    usd_per_hour: str, capacity: Json | None = None, *, id_: str = "own", overhead: float = 0, **more: Any
) -> Json:
    return {
        "id": id_,
        "kind": "self_host",
        "model": "model",
        "baseline": more.get("baseline", False),
        "hardware": {"gpu": "GPU", "usd_per_hour": usd_per_hour} | more.get("hardware", {}),
        "capacity": capacity or {"requests_per_s": 4, "low": 4, "high": 4},
        "scaling": {"headroom": 0, "spare_replicas": 0} | more.get("scaling", {}),
        "operations": {"fte": 0, "usd_per_month": "0", "setup_usd": "0", "overhead_share": overhead},
    }


def _case(*options: Json, workload: Json | None = None, **fields: Any) -> Json:
    traffic = {"requests_per_month": 1_000_000, "input_tokens": {"mean": 1000}, "output_tokens": {"mean": 200}}
    return {
        "schema": "costadvisor.case/1",
        "as_of": "2026-11-01",
        "draws": DRAWS,
        "drift": {"api_price_per_year": 0, "gpu_price_per_year": 0},
        "workload": traffic | {"hourly_shape": "flat"} | (workload or {}),
        "options": list(options),
    } | fields


def _busy(tokens_per_s: float, share: float = 1.0) -> Json:
    """Requests of 1,000 tokens that keep one GPU busy for that share of 730 hours."""
    requests = tokens_per_s * share * HOURS * 3600 / 1000
    return {"requests_per_month": requests, "input_tokens": {"mean": 800}, "output_tokens": {"mean": 200}}


def _owned(usd: str) -> Json:
    return {"plan": "owned", "purchase_usd": usd, "useful_life_months": 36}


def _lenovo(cloud: str, published_hours: int, *, more: tuple[Printed, ...] = (), discount: float = 0) -> Run:
    hardware = 833_806
    options = (
        _fleet(cloud, id_="today", baseline=True),
        _fleet("0.87", hardware=_owned(str(hardware))),
    )
    hours = Printed(
        f"hours until it pays against ${cloud} an hour",
        f"{published_hours:,} hours",
        published_hours,
        hours_to_pay(hardware),
        hours_text,
        1e-4,
    )
    return Run(_case(*options, discount_rate_per_year=discount), (hours, *more))


def _window(hours_a_day: float, saved: float) -> Run:
    cluster = _fleet("20", {"requests_per_s": 100}, scaling={"policy": "window", "window_hours_per_day": hours_a_day})
    # A bill of $1,500 at $0.00027 a request, 30 days.
    workload = {"requests_per_month": 1_500_000 / 0.27, "batchable_share": 1}
    what = f"saved at {hours_a_day} h a day"
    printed = Printed(what, percent(saved), saved, saved_share, lambda share: percent(abs(share)))
    return Run(_case(_api(), cluster, workload=workload, hours_per_month=720), (printed,))


_FORGPRO_TOKENS_PER_S = 126.1e6 / (HOURS * 3600)

WORKED_EXAMPLES: tuple[WorkedExample, ...] = (
    WorkedExample(
        "induwara",
        "induwara calculator",
        "120M tokens in and 40M out at $0.25 and $2 per million; one GPU at $1.19 an hour, 729.6 hours a month, "
        "15 % overhead, 2,500 tokens a second",
        teaches=("two-prices", "hours", "staircase"),
        runs=(
            Run(
                _case(
                    _api("0.25", "2"),
                    _fleet("1.19", {"tokens_per_s": 2500}, overhead=0.15),
                    workload={
                        "requests_per_month": 40_000,
                        "input_tokens": {"mean": 3000},
                        "output_tokens": {"mean": 1000},
                    },
                    hours_per_month=729.6,
                ),
                (
                    Printed("the API, a month", "$110.00", 110.0, month_usd("today"), usd_text),
                    Printed("the GPU, a month", "$998.46", 998.46, month_usd("own"), usd_text, 5e-6),
                    Printed("break-even", "1.45B tokens a month", 1450, break_even_mtok, mtok_text, 0.005),
                    Printed("one GPU makes", "6.57B tokens a month", 6570, capacity_mtok(160), mtok_text, 0.001),
                ),
            ),
        ),
    ),
    WorkedExample(
        "llmtco-a",
        "llmtco methodology, example (a)",
        "1M tokens in at $3 and 0.5M out at $15 per million",
        teaches=("two-prices",),
        runs=(
            Run(
                _case(
                    _api("3", "15"),
                    workload={
                        "requests_per_month": 1000,
                        "input_tokens": {"mean": 1000},
                        "output_tokens": {"mean": 500},
                    },
                ),
                (Printed("the API, a month", "$10.50", 10.5, month_usd("today"), usd_text),),
            ),
        ),
    ),
    WorkedExample(
        "llmtco-c",
        "llmtco methodology, example (c)",
        "hardware for $15,000, written off over 36 months",
        teaches=("cash",),
        runs=(
            Run(
                _case(_api(), _fleet("0", hardware=_owned("15000"))),
                (Printed("the hardware, a month", "$416.67", 416.67, month_usd("own"), usd_text, 1e-5),),
            ),
        ),
    ),
    WorkedExample(
        "llmtco-e",
        "llmtco methodology, example (e)",
        "a GPU at $1.50 an hour that makes 2,000 tokens a second and is full",
        teaches=("idle",),
        runs=(
            Run(
                _case(_api(), _fleet("1.50", {"tokens_per_s": 2000}), workload=_busy(2000)),
                (Printed("per million tokens", "$0.21", 0.21, usd_per_mtok, prose_usd, 0.01),),
            ),
        ),
    ),
    WorkedExample(
        "dreaming-press",
        "dreaming.press",
        "a GPU at $2.50 an hour that makes 700 tokens a second, full and 10 % busy",
        teaches=("idle",),
        runs=tuple(
            Run(
                _case(_api(), _fleet("2.50", {"tokens_per_s": 700}), workload=_busy(700, share)),
                (Printed(f"per million tokens, {percent(share)} busy", said, right, usd_per_mtok, prose_usd, 0.003),),
            )
            for share, said, right in ((1.0, "$0.99", 0.99), (0.1, "ten times that", 9.9))
        ),
    ),
    WorkedExample(
        "lenovo",
        "Lenovo LP2225 (2025)",
        "hardware for $833,806 that costs $0.87 an hour to run, against a cloud server at $98.32, $77.43 or $53.95",
        teaches=("cash",),
        runs=(
            _lenovo("98.32", 8556),
            _lenovo("77.43", 10_890),
            _lenovo("53.95", 15_710),
            Run(
                _case(_fleet("98.32", id_="today", baseline=True), _fleet("0.87", hardware=_owned("833806"))),
                (Printed("pays back on demand", "month 12", 12.0, payback_month, month_text),),
            ),
        ),
    ),
    WorkedExample(
        "batch-window",
        "Batch window note",
        "a cluster at $20 an hour for some hours a day, 30 days a month, against a bill of $1,500",
        teaches=("window",),
        runs=tuple(_window(hours, saved) for hours, saved in ((1, 0.6), (1.5, 0.4), (2, 0.2), (2.5, 0.0))),
    ),
    WorkedExample(
        "full-gpu",
        "A hosted open model against a full GPU",
        "Llama-3.1-8B at $0.02 and $0.03 per million against an H100 at $2.69 an hour that makes 16,600 tokens a "
        "second and is full",
        teaches=("host", "staircase"),
        runs=(
            Run(
                _case(
                    _api("0.02", "0.03"),
                    _fleet("2.69", {"tokens_per_s": 16_600}),
                    # One token in and a thousand out: nearly all of the work is output.
                    workload={
                        "requests_per_month": 16_600 * HOURS * 3600 / 1001,
                        "input_tokens": {"mean": 1},
                        "output_tokens": {"mean": 1000},
                    },
                ),
                (
                    Printed("per million tokens, full", "$0.045", 0.045, usd_per_mtok, prose_usd, 0.01),
                    Printed("break-even", "the host stays cheaper", None, break_even_mtok, mtok_text),
                ),
            ),
        ),
    ),
    WorkedExample(
        "forgpro",
        "forg.pro",
        "two A100 for $3,650 a month that can make 126.1M tokens, against an API at $0.45 per million",
        teaches=("beyond-capacity", "staircase"),
        runs=(
            Run(
                _case(
                    _api("0.45", "0.45"),
                    _fleet("5", {"tokens_per_s": _FORGPRO_TOKENS_PER_S}, hardware={"gpus_per_replica": 2}),
                    workload=_busy(_FORGPRO_TOKENS_PER_S),
                ),
                (
                    Printed("the GPUs, a month", "$3,650", 3650.0, month_usd("own"), usd_text),
                    Printed("break-even", "8,111M tokens a month", None, break_even_mtok, mtok_text, sound=False),
                ),
            ),
        ),
    ),
    WorkedExample(
        "kickllm",
        "llmtco example (b), kickllm",
        "a GPU at $1.50 an hour that bills around the clock and is 30 % busy",
        teaches=("idle",),
        runs=(
            Run(
                _case(_api(), _fleet("1.50", {"tokens_per_s": 2000}), workload=_busy(2000, 0.3)),
                (Printed("the GPU, a month", "30 % of it, $328.50", 1095.0, month_usd("own"), usd_text, sound=False),),
            ),
        ),
    ),
)
