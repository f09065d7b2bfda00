"""Third parties' own figures, and two published errors, reproduced with ordinary cases."""

import math
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


def _owned(usd: str, **hardware: object) -> dict[str, object]:
    return {"plan": "owned", "purchase_usd": usd, "useful_life_months": 36} | hardware


def test_llmtco_owned_by_the_month() -> None:
    """(c) $15,000 over 36 months: $416.67 a month, for display."""
    found = answer(api(), fleet(usd_per_hour="0", hardware=_owned("15000")))
    (amortization, *_) = row(found, "h100").lines
    assert amortization.formula == "1 replica x $15,000.00 x (1 - 0) / 36 months"
    assert month_usd(found, "h100") == pytest.approx(416.67, abs=0.005)
    # As cash it is all spent before the first month.
    total = row(answer(api(), fleet(usd_per_hour="0", hardware=_owned("15000"))), "h100").tco_usd
    assert total
    assert total.point == 15_000


@pytest.mark.parametrize(("cloud", "hours"), [("98.32", 8556), ("77.43", 10_890), ("53.95", 15_710)])
def test_lenovo_breaks_even_after_hours_of_cloud(cloud: str, hours: int) -> None:
    """Hardware at $833,806 and $0.87/h on premises, against a cloud server: hardware over the hourly difference."""
    cloud_today = fleet("cloud", usd_per_hour=cloud, baseline=True)
    owned = fleet("own", usd_per_hour="0.87", hardware=_owned("833806"))
    found = answer(cloud_today, owned, discount_rate_per_year=0, horizon_months=36)
    npv = row(found, "own").npv_usd
    assert npv
    saved_an_hour = (float(npv.point) + 833_806) / (36 * 730)
    assert 833_806 / saved_an_hour == pytest.approx(hours, rel=1e-4)
    assert row(found, "own").payback_months == math.ceil(hours / 730)


def test_lenovo_pays_back_in_month_12_against_on_demand() -> None:
    cloud_today = fleet("cloud", usd_per_hour="98.32", baseline=True)
    found = answer(cloud_today, fleet("own", usd_per_hour="0.87", hardware=_owned("833806")))
    assert row(found, "own").payback_months == 12


@pytest.mark.parametrize(("hours_a_day", "saved"), [(1, 0.6), (1.5, 0.4), (2, 0.2), (2.5, 0.0)])
def test_batch_window_note(hours_a_day: float, saved: float) -> None:
    """$20/h for a cluster, 30 days, against a bill of $1,500."""
    scaling = {"policy": "window", "window_hours_per_day": hours_a_day}
    workload = {"requests_per_month": 1_500_000 / 0.27, "batchable_share": 1}
    cluster = fleet(usd_per_hour="20", capacity={"requests_per_s": 100}, scaling=scaling)
    found = answer(api(), cluster, workload=workload, hours_per_month=720)
    bill = month_usd(found, "today")
    assert bill == pytest.approx(1500)
    assert 1 - month_usd(found, "h100") / bill == pytest.approx(saved, abs=1e-9)


def test_a_hosted_open_model_can_be_cheaper_than_a_full_gpu() -> None:
    """Llama-3.1-8B at $0.02/$0.03 per M against $0.045 per M of output on a saturated H100 at $2.69/h."""
    host = api(prices={"input_usd_per_mtok": "0.02", "output_usd_per_mtok": "0.03"})
    # One token in and many out: nearly all of a full GPU's work is output, at $2.69 / 16,600 tokens a second.
    requests = 16_600 * 730 * 3600 / 1001
    workload = {"requests_per_month": requests, "input_tokens": {"mean": 1}, "output_tokens": {"mean": 1000}}
    found = answer(host, fleet(usd_per_hour="2.69", capacity={"tokens_per_s": 16_600}), workload=workload)
    assert row(found, "h100").utilization == pytest.approx(1)
    assert float(row(found, "h100").usd_per_mtok or 0) == pytest.approx(0.045, abs=0.0005)
    assert found.break_even[0].never
