"""The product's own snapshot of facts in `fixtures/catalog/`; `docs/data-sources.md` says what is in it."""

from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from typing import TypeVar

from costadvisor.catalog.facts import (
    CONFIDENCES,
    PLANS,
    GpuOffer,
    HostedModel,
    OpenModel,
    OpexFact,
    PublishedThroughput,
    QualityScore,
    Rates,
    Source,
)
from costadvisor.catalog.rows import Row, read_rows

SNAPSHOT = Path(__file__).resolve().parents[2] / "fixtures" / "catalog"
Fact = TypeVar("Fact")


@cache
def snapshot() -> "Catalog":
    """The catalog that ships with the product."""
    return Catalog(SNAPSHOT)


class Catalog:
    """The facts in one folder; each file is read when first asked for and then kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def sources(self) -> dict[str, Source]:
        rows = read_rows(self._folder / "sources.csv")
        listed = [
            Source(row.required("id"), row.required("name"), row.required("licence"), row.text("note")) for row in rows
        ]
        return {source.id: source for source in listed}

    @cached_property
    def gpu_offers(self) -> tuple[GpuOffer, ...]:
        return self._read("gpu_offers.csv", self._gpu_offer)

    @cached_property
    def open_models(self) -> tuple[OpenModel, ...]:
        return self._read("open_models.csv", self._open_model)

    @cached_property
    def hosted_models(self) -> tuple[HostedModel, ...]:
        return self._read("hosted_models.csv", self._hosted_model)

    @cached_property
    def published_throughput(self) -> tuple[PublishedThroughput, ...]:
        return self._read("published_throughput.csv", self._published_throughput)

    @cached_property
    def quality_scores(self) -> tuple[QualityScore, ...]:
        return self._read("quality.csv", self._quality_score)

    @cached_property
    def opex_facts(self) -> tuple[OpexFact, ...]:
        return self._read("opex.csv", self._opex_fact)

    def _read(self, name: str, parse: Callable[[Row], Fact]) -> tuple[Fact, ...]:
        return tuple(parse(row) for row in read_rows(self._folder / name))

    def _source(self, row: Row) -> str:
        """The source in words: its name, and where in it the fact stands."""
        source = self.sources.get(row.required("source"))
        if source is None:
            raise row.fail("source", "the id of a line in sources.csv")
        where = row.text("where")
        return f"{source.name}, {where}" if where else source.name

    def _gpu_offer(self, row: Row) -> GpuOffer:
        return GpuOffer(
            provider=row.required("provider"),
            offer=row.required("offer"),
            gpu=row.required("gpu"),
            form_factor=row.text("form_factor"),
            gpus=row.whole("gpus"),
            gpu_memory_gib=row.whole("gpu_memory_gib"),
            vcpus=row.optional("vcpus", row.whole),
            region=row.text("region"),
            plan=row.choice("plan", PLANS),
            usd_per_hour=row.money("usd_per_hour"),
            as_of=row.day("as_of"),
            source=self._source(row),
            confidence=row.choice("confidence", CONFIDENCES),
            note=row.text("note"),
        )

    def _open_model(self, row: Row) -> OpenModel:
        return OpenModel(
            model=row.required("model"),
            licence=row.required("licence"),
            params_total=row.count("params_total"),
            params_active=row.count("params_active"),
            layers=row.count("layers"),
            hidden_size=row.count("hidden_size"),
            heads=row.count("heads"),
            kv_heads=row.count("kv_heads"),
            head_dim=row.count("head_dim"),
            vocab_size=row.count("vocab_size"),
            context_tokens=row.count("context_tokens"),
            kv_bytes_per_token_bf16=row.count("kv_bytes_per_token_bf16"),
            as_of=row.day("as_of"),
            source=self._source(row),
            confidence=row.choice("confidence", CONFIDENCES),
            note=row.text("note"),
        )

    def _hosted_model(self, row: Row) -> HostedModel:
        priced_here = row.text("source") != "genai-prices"
        return HostedModel(
            model=row.required("model"),
            provider=row.required("provider"),
            provider_model=row.required("provider_model"),
            rates=_rates(row) if priced_here else None,
            as_of=row.day("as_of") if priced_here else None,
            source=self._source(row),
            note=row.text("note"),
        )

    def _published_throughput(self, row: Row) -> PublishedThroughput:
        return PublishedThroughput(
            series=row.required("series"),
            engine=row.required("engine"),
            engine_version=row.required("engine_version"),
            model=row.required("model"),
            gpu=row.required("gpu"),
            form_factor=row.text("form_factor"),
            gpus=row.count("gpus"),
            dtype=row.required("dtype"),
            input_tokens=row.count("input_tokens"),
            output_tokens=row.count("output_tokens"),
            concurrency=row.count("concurrency"),
            output_tokens_per_s=row.number("output_tokens_per_s"),
            ttft_ms=row.optional("ttft_ms", row.number),
            ttft_stat=row.text("ttft_stat"),
            tpot_ms=row.optional("tpot_ms", row.number),
            tpot_stat=row.text("tpot_stat"),
            as_of=row.day("as_of"),
            source=self._source(row),
            note=row.text("note"),
        )

    def _quality_score(self, row: Row) -> QualityScore:
        return QualityScore(
            model=row.required("model"),
            measure=row.required("measure"),
            score=row.number("score"),
            n=row.optional("n", row.whole),
            setting=row.text("setting"),
            as_of=row.day("as_of"),
            source=self._source(row),
            confidence=row.choice("confidence", CONFIDENCES),
            note=row.text("note"),
        )

    def _opex_fact(self, row: Row) -> OpexFact:
        return OpexFact(
            category=row.required("category"),
            item=row.required("item"),
            low=row.money("low"),
            typical=row.money("typical"),
            high=row.money("high"),
            unit=row.required("unit"),
            as_of=row.day("as_of"),
            source=self._source(row),
            confidence=row.choice("confidence", CONFIDENCES),
            note=row.text("note"),
        )


def _rates(row: Row) -> Rates:
    return Rates(
        input_usd_per_mtok=row.money("input_usd_per_mtok"),
        cached_input_usd_per_mtok=row.optional("cached_input_usd_per_mtok", row.money),
        output_usd_per_mtok=row.money("output_usd_per_mtok"),
    )
