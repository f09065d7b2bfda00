"""What the forms of all kinds of option share: each shows, stores and corrects an option by its fields' places."""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

from django import forms

from costadvisor.decisions.forms.fields import QualityForm
from costadvisor.decisions.forms.places import Place, with_fields
from costadvisor.decisions.published_costs import published_range
from costadvisor.decisions.written import WrittenOption, entered
from costadvisor.economics.quantities import LARGEST
from engine.calibrate.record import Record

Json = dict[str, Any]
CONTRACT = "Only what the contract says."
# A part whose evidence is said of the whole.
WHOLE = ("prices", "capacity", "privacy", "quality")


@dataclass(frozen=True)
class Number:
    """A number of an option. `start` is where the form begins, if elsewhere than at a case's own default."""

    label: str
    path: str
    help_text: str = ""
    scale: int = 1
    required: bool = False
    start: Any = None

    @property
    def place(self) -> Place:
        return Place(self.path, self.scale)

    def field(self) -> forms.Field:
        """Bounded as a case is; its help tells what the default rests on."""
        allowed = self.place.quantity
        low = Decimal(0) if allowed is None or allowed.low is None else Decimal(allowed.low * self.scale)
        high = None if allowed is None or allowed.high == LARGEST else Decimal(allowed.high * self.scale)
        shared: dict[str, Any] = {
            "label": self.label,
            "required": self.required,
            "help_text": self._help(),
            "min_value": low,
        }
        if allowed is not None and allowed.whole:
            return forms.IntegerField(**shared, max_value=None if high is None else int(high))
        return forms.DecimalField(
            **shared,
            max_value=high,
            max_digits=24,
            decimal_places=9,
            widget=forms.NumberInput(attrs={"step": "any"}),
        )

    def _help(self) -> str:
        rests_on = published_range(self.path)
        return " ".join(filter(None, (self.help_text, rests_on and f"{rests_on[0].upper()}{rests_on[1:]}.")))


class OptionForm(QualityForm):
    """Begins with `option`, where it corrects one. `written(source)` is the option, with who typed what was changed.

    `GROUPS` are fields by the heading they stand under, the rest stand under none; `FOLDED` ones are closed at first.
    """

    title: ClassVar[str]
    intro: ClassVar[str]
    GROUPS: ClassVar[Mapping[str, Sequence[str]]] = {}
    FOLDED: ClassVar[tuple[str, ...]] = ()
    PLACES: ClassVar[Mapping[str, Place]] = {}  # of fields that are no numbers
    NUMBERS: ClassVar[Mapping[str, Number]] = {}
    STEM: ClassVar[Mapping[str, Any]] = {}  # what an option of this kind has before anything is typed

    def __init__(
        self,
        data: Any = None,
        *,
        case: Mapping[str, Any],
        records: Iterable[Record],
        option: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(data, gate=case["constraints"].get("min_quality"))
        self.case, self.records, self.option = case, records, option
        for name, number in self.NUMBERS.items():
            self.fields[name] = number.field()
        self.places = {**self.PLACES, **{name: number.place for name, number in self.NUMBERS.items()}}
        self._begin(option or self.STEM)
        self._begin_quality()

    @classmethod
    def missing(cls, case: Mapping[str, Any]) -> str:
        """What a case lacks for an option of this kind; empty where nothing."""
        return ""

    @property
    def groups(self) -> list[tuple[str, list[forms.BoundField], bool]]:
        """(heading, fields, closed): an open group has a field that was refused or was not left at its start."""
        grouped = [
            (legend, [self[name] for name in names if name in self.fields]) for legend, names in self.GROUPS.items()
        ]
        named = {name for names in self.GROUPS.values() for name in names}
        top = ("", [field for field in self if field.name not in named], False)
        return [top, *((legend, fields, self._closed(legend, fields)) for legend, fields in grouped)]

    def fields_by_path(self) -> Mapping[str, str]:
        """The fields by where they stand; then what a path without a field of its own is shown at."""
        return {**{place.path: name for name, place in self.places.items()}, **self.PATHS}

    def written(self, source: str) -> WrittenOption:
        """What was left as it stood stays, with its evidence."""
        stem = self.stem(source)
        changed = {name: self.cleaned_data[name] for name in self.places if name in self.changed_data}
        option, evidence = with_fields(stem.option, self.places, changed), dict(stem.evidence)
        for name in changed.keys() & self.NUMBERS.keys():
            said_at = _said_at(self.places[name].path)
            evidence.pop(said_at, None)
            if changed[name] is not None:
                evidence[said_at] = entered(source)
        if "privacy" in self.fields and set(self.cleaned_data["privacy"]) != set(option.get("privacy", ())):
            option["privacy"], evidence["privacy"] = list(self.cleaned_data["privacy"]), entered(source)
        if "quality_percent" in self.changed_data or "quality_samples" in self.changed_data:
            option["quality"] = self.quality_typed_over(option.get("quality", []))
            evidence["quality"] = entered(source)
        return WrittenOption(option, evidence)

    def stem(self, source: str) -> WrittenOption:
        """What the fields are written over."""
        return self.stored() or WrittenOption(deepcopy(dict(self.STEM)))

    def stored(self) -> WrittenOption | None:
        """The option that is corrected, less its id, with its evidence."""
        if self.option is None:
            return None
        start = f"/options/{self.option['id']}/"
        said = {path: known for path, known in self.case.get("evidence", {}).items() if path.startswith(start)}
        option = {key: deepcopy(value) for key, value in self.option.items() if key not in ("id", "baseline")}
        return WrittenOption(option, {path.removeprefix(start): known for path, known in said.items()})

    def others(self, *kinds: str) -> list[Mapping[str, Any]]:
        """The case's options of these kinds, but for the one that is corrected."""
        own = self.option and self.option["id"]
        return [other for other in self.case["options"] if other["kind"] in kinds and other["id"] != own]

    def _begin(self, option: Mapping[str, Any]) -> None:
        for name, place in self.places.items():
            found = place.read(option)
            number = self.NUMBERS.get(name)
            start = place.default if number is None or number.start is None else number.start
            left_out = start if self.option is None else place.default
            self.fields[name].initial = left_out if found is None else found
        if "privacy" in self.fields:
            self.fields["privacy"].initial = list(option.get("privacy", self.fields["privacy"].initial or ()))

    def _begin_quality(self) -> None:
        known = [] if self.option is None or self.gate is None else self.option.get("quality", [])
        score = next((score for score in known if score["measure"] == (self.gate or {}).get("measure")), None)
        if score is not None and self.gate is not None:
            self.fields["quality_percent"].initial = float(score["score"]) * 100
            self.fields["quality_samples"].initial = score.get("n")

    def _closed(self, legend: str, fields: Sequence[forms.BoundField]) -> bool:
        touched = any(field.errors or field.name in self.changed_data for field in fields) if self.is_bound else False
        return legend in self.FOLDED and not touched


def _said_at(path: str) -> str:
    first = path.split("/", 1)[0]
    return first if first in WHOLE else path
