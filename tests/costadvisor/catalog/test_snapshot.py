from datetime import date
from decimal import Decimal
from pathlib import Path
from shutil import copytree

import pytest

from costadvisor.catalog.api_prices import api_price_get
from costadvisor.catalog.facts import newest_offers
from costadvisor.catalog.rows import CatalogError
from costadvisor.catalog.snapshot import SNAPSHOT, Catalog, snapshot

TODAY = date(2026, 11, 21)


def test_every_fact_is_dated_and_sourced() -> None:
    catalog = snapshot()
    facts = [
        *((fact.source, fact.as_of) for fact in catalog.gpu_offers),
        *((fact.source, fact.as_of) for fact in catalog.open_models),
        *((fact.source, fact.as_of) for fact in catalog.published_throughput),
        *((fact.source, fact.as_of) for fact in catalog.quality_scores),
        *((fact.source, fact.as_of) for fact in catalog.opex_facts),
    ]
    assert len(facts) > 100
    assert all(source and as_of <= TODAY for source, as_of in facts)


def test_users_find_the_gpus_and_plans_they_would_compare() -> None:
    offers = snapshot().gpu_offers
    gpus = {offer.gpu for offer in offers if offer.plan == "on_demand"}
    assert {
        "L4",
        "A10",
        "L40S",
        "A100 80GB",
        "H100",
        "H200",
        "B200",
        "RTX 4090",
        "RTX 5090",
        "MI300X",
    } <= gpus
    assert {"on_demand", "reserved_1y", "spot", "serverless"} <= {offer.plan for offer in offers}
    assert len({offer.provider for offer in offers if offer.gpu == "H100"}) >= 8


def test_the_newest_offer_known_on_a_day_is_the_one_that_counts() -> None:
    def runpod_h100(on: date) -> list[Decimal]:
        offers = newest_offers(snapshot().gpu_offers, on)
        return [o.usd_per_hour for o in offers if (o.provider, o.offer) == ("runpod secure", "H100 SXM")]

    assert runpod_h100(date(2026, 9, 24)) == []
    assert runpod_h100(date(2026, 10, 1)) == [Decimal("3.49")]
    assert runpod_h100(TODAY) == [Decimal("3.99")]


def test_the_price_of_a_whole_machine_is_shared_by_its_gpus() -> None:
    machine = next(offer for offer in snapshot().gpu_offers if offer.offer == "p5.48xlarge")
    assert machine.usd_per_gpu_hour == Decimal("6.88")
    assert all(offer.usd_per_gpu_hour is None for offer in snapshot().gpu_offers if offer.gpu == "CPU")


def test_every_host_has_a_price() -> None:
    for host in snapshot().hosted_models:
        price = api_price_get(provider=host.provider, model=host.provider_model, on=TODAY)
        assert price.rates.input_usd_per_mtok > 0


def test_open_models_count_their_cache_from_their_shape() -> None:
    for model in snapshot().open_models:
        assert model.kv_bytes_per_token_bf16 == 2 * 2 * model.layers * model.kv_heads * model.head_dim


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",6.98,", ",,", r"gpu_offers.csv line \d+: usd_per_hour is empty; it must be a number, 0 or more"),
        (",6.98,", ",-1,", "usd_per_hour is '-1'"),
        (",6.98,", ",NaN,", "usd_per_hour is 'NaN'"),
        (
            "2026-11-09,data-receipts",
            "last week,data-receipts",
            "as_of is 'last week'; it must be a day such as",
        ),
        ("on_demand,6.98", "monthly,6.98", "plan is 'monthly'; it must be one of on_demand"),
        (
            "2026-11-09,data-receipts",
            "2026-11-09,hearsay",
            "source is 'hearsay'; it must be the id of a line in",
        ),
        (",6.98,", ",6.98,1,", "the row must have 15 columns"),
        ("usd_per_hour,", "price,", "the column usd_per_hour is missing"),
    ],
)
def test_a_bad_row_is_named_by_file_line_and_field(tmp_path: Path, old: str, new: str, message: str) -> None:
    folder = copytree(SNAPSHOT, tmp_path / "catalog")
    offers = folder / "gpu_offers.csv"
    text = offers.read_text(encoding="utf-8")
    assert old in text
    offers.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(CatalogError, match=message):
        _ = Catalog(folder).gpu_offers


def test_a_hosts_own_price_needs_its_day(tmp_path: Path) -> None:
    folder = copytree(SNAPSHOT, tmp_path / "catalog")
    hosts = folder / "hosted_models.csv"
    hosts.write_text(hosts.read_text(encoding="utf-8").replace(",2026-09-25,", ",,"), encoding="utf-8")
    with pytest.raises(CatalogError, match=r"hosted_models.csv line \d+: as_of is empty; it must be the day"):
        _ = Catalog(folder).hosted_models


def test_a_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"opex.csv: No such file or directory"):
        _ = Catalog(tmp_path).opex_facts
