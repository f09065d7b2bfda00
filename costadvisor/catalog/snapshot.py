"""The product's own snapshot of facts in `fixtures/catalog/`; `docs/data-sources.md` says what is in it."""

from copy import copy
from functools import cache, cached_property
from pathlib import Path

from costadvisor.catalog.facts import (
    GpuOffer,
    HostedModel,
    OpenModel,
    OpexFact,
    PublishedThroughput,
    QualityScore,
    Rates,
    Source,
)
from costadvisor.catalog.recorded import Recorded
from costadvisor.catalog.rows import Fact, Row, read_rows

FACTS = ("gpu_offers", "open_models", "hosted_models", "published_throughput", "quality_scores", "opex_facts")
SNAPSHOT = Path(__file__).resolve().parents[2] / "fixtures" / "catalog"


@cache
def snapshot() -> "Catalog":
    """The catalog that ships with the product."""
    return Catalog(SNAPSHOT)


class Catalog:
    """The facts in one folder; each file is read when first asked for and then kept. `recorded` is what the database
    adds: nothing on the command line."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.recorded = Recorded()

    def with_recorded(self, recorded: Recorded) -> "Catalog":
        """A copy that shares what was read of the files."""
        for facts in FACTS:
            getattr(self, facts)
        other = copy(self)
        other.recorded, other.gpu_offers = recorded, (*self.gpu_offers, *recorded.offers)
        return other

    @cached_property
    def sources(self) -> dict[str, Source]:
        listed = [row.fact(Source) for row in read_rows(self._folder / "sources.csv")]
        return {source.id: source for source in listed}

    @cached_property
    def gpu_offers(self) -> tuple[GpuOffer, ...]:
        return self._facts("gpu_offers.csv", GpuOffer)

    @cached_property
    def open_models(self) -> tuple[OpenModel, ...]:
        return self._facts("open_models.csv", OpenModel)

    @cached_property
    def hosted_models(self) -> tuple[HostedModel, ...]:
        return tuple(self._hosted_model(row) for row in read_rows(self._folder / "hosted_models.csv"))

    @cached_property
    def published_throughput(self) -> tuple[PublishedThroughput, ...]:
        return self._facts("published_throughput.csv", PublishedThroughput)

    @cached_property
    def quality_scores(self) -> tuple[QualityScore, ...]:
        return self._facts("quality.csv", QualityScore)

    @cached_property
    def opex_facts(self) -> tuple[OpexFact, ...]:
        return self._facts("opex.csv", OpexFact)

    def _facts(self, name: str, kind: type[Fact]) -> tuple[Fact, ...]:
        return tuple(row.fact(kind, source=self._source(row)) for row in read_rows(self._folder / name))

    def _source(self, row: Row) -> str:
        """The source in words: its name, and where in it the fact stands."""
        source = self.sources.get(row.text("source"))
        if source is None:
            raise row.fail("source", "the id of a line in sources.csv")
        where = row.text("where")
        return f"{source.name}, {where}" if where else source.name

    def _hosted_model(self, row: Row) -> HostedModel:
        if row.text("source") == "genai-prices":
            return row.fact(HostedModel, source=self._source(row), rates=None)
        if not row.text("as_of"):
            raise row.fail("as_of", "the day of the prices in this row")
        return row.fact(HostedModel, source=self._source(row), rates=row.fact(Rates))
