"""Third parties' own figures, and two published errors, reproduced with ordinary cases."""

from decimal import Decimal

import pytest

from costadvisor.economics import Evaluation
from tests.costadvisor.economics.cases import answer, api, fleet, month_usd, row

MTOK = 1_000_000


def test_induwara_calculator() -> None:
    """120M in, 40M out at $0.25/$2; one GPU at $1.19, 729.6 h, 15 % overhead, 2,500 tok/s."""
    found = _induwara(requests_per_month=40_000)
    assert month_usd(found, "today") == 110
    assert month_usd(found, "h100") == pytest.approx(998.46, abs=0.005)
    first = found.break_even[0].intervals[0]
    assert first.from_tokens_per_month == pytest.approx(1.45e9, rel=0.005)
    assert first.from_api_usd_per_month == pytest.approx(Decimal("998.4576"))


@pytest.mark.parametrize(("tokens_per_month", "replicas"), [(6.56e9, 1), (6.57e9, 2)])
def test_induwara_capacity(tokens_per_month: float, replicas: int) -> None:
    """One GPU makes 6.566 billion tokens a month and no more."""
    fleet_size = row(_induwara(requests_per_month=tokens_per_month / 4000), "h100").replicas
    assert fleet_size
    assert fleet_size.max == replicas


def _induwara(*, requests_per_month: float) -> Evaluation:
    return answer(
        api(prices={"input_usd_per_mtok": "0.25", "output_usd_per_mtok": "2"}),
        fleet(usd_per_hour="1.19", capacity={"tokens_per_s": 2500}, operations={"overhead_share": 0.15}),
        workload={
            "requests_per_month": requests_per_month,
            "input_tokens": {"mean": 3000},
            "output_tokens": {"mean": 1000},
        },
        hours_per_month=729.6,
    )


def test_llmtco_api_request() -> None:
    """(a) 1M in at $3, 0.5M out at $15: $10.50."""
    found = answer(
        api(prices={"input_usd_per_mtok": "3", "output_usd_per_mtok": "15"}),
        workload={"requests_per_month": 1000, "input_tokens": {"mean": 1000}, "output_tokens": {"mean": 500}},
    )
    assert month_usd(found, "today") == 10.5


def test_llmtco_full_gpu() -> None:
    """(e) $1.50/h at 2,000 tok/s, full: $0.21/M."""
    found = answer(api(), fleet(usd_per_hour="1.50", capacity={"tokens_per_s": 2000}), workload=_full_month(2000))
    assert row(found, "h100").utilization == pytest.approx(1)
    assert row(found, "h100").usd_per_mtok == pytest.approx(Decimal("0.208333"), abs=Decimal("0.000001"))


@pytest.mark.parametrize(("busy", "usd_per_mtok"), [(1.0, 0.992), (0.1, 9.92)])
def test_dreaming_press(busy: float, usd_per_mtok: float) -> None:
    """$2.50/h at 700 tok/s: $0.99/M full, ten times that at 10 %."""
    workload = _full_month(700, share=busy)
    found = answer(api(), fleet(capacity={"tokens_per_s": 700}), workload=workload)
    assert float(row(found, "h100").usd_per_mtok or 0) == pytest.approx(usd_per_mtok, rel=0.001)


def test_forgpro_break_even_beyond_capacity_is_never() -> None:
    """Two A100 at $3,650 a month make 126.1M tokens; the API costs $0.45/M. Published: break-even at 8,111M."""
    tokens_per_s = 126.1 * MTOK / (730 * 3600)
    found = answer(
        api(prices={"input_usd_per_mtok": "0.45", "output_usd_per_mtok": "0.45"}),
        fleet(usd_per_hour="5", capacity={"tokens_per_s": tokens_per_s}, hardware={"gpus_per_replica": 2}),
        workload=_full_month(tokens_per_s),
    )
    assert month_usd(found, "h100") == 3650
    month = found.break_even[0]
    assert month.never
    assert month.intervals == ()
    assert month.always_from_api_usd_per_month is None
    assert month.message == "Never: one full replica costs $28.95 per million tokens, gpt-4o-mini at openai $0.45."


def test_kickllm_full_month_is_paid() -> None:
    """A $1.50/h GPU that is 30 % busy bills around the clock: $1,095, not 30 % of it."""
    workload = _full_month(2000, share=0.3)
    found = answer(api(), fleet(usd_per_hour="1.50", capacity={"tokens_per_s": 2000}), workload=workload)
    assert month_usd(found, "h100") == 1095
    assert row(found, "h100").utilization == pytest.approx(0.3)


def _full_month(tokens_per_s: float, share: float = 1.0) -> dict[str, object]:
    """Requests of 1,000 tokens that keep one GPU busy for that share of 730 hours."""
    return {
        "requests_per_month": tokens_per_s * share * 730 * 3600 / 1000,
        "input_tokens": {"mean": 800},
        "output_tokens": {"mean": 200},
    }
