"""Options made of two others of the same case."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms

from costadvisor.decisions.forms.options import Number, OptionForm
from costadvisor.decisions.forms.places import Place
from costadvisor.economics import parse_case
from costadvisor.economics.names import names_by_id

SINGLE = ("api", "self_host")


class MixtureForm(OptionForm):
    """Chooses among the case's own options, by the names they have on the page."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("quality_percent", "quality_samples"):  # each of the two passes the gate by itself
            self.fields.pop(name, None)

    def choices(self, options: list[Mapping[str, Any]]) -> list[tuple[str, str]]:
        names = names_by_id(parse_case(dict(self.case)))
        return [(option["id"], names[option["id"]]) for option in options]

    def choose(self, name: str, label: str, options: list[Mapping[str, Any]], help_text: str) -> None:
        initial = self.places[name].read(self.option or {})
        self.fields[name] = forms.ChoiceField(
            label=label, choices=self.choices(options), help_text=help_text, initial=initial
        )

    def others_first_today(self, *kinds: str) -> list[Mapping[str, Any]]:
        return sorted(self.others(*kinds), key=lambda option: not option.get("baseline"))


class HybridForm(MixtureForm):
    title = "A base of our own, an API above it"
    intro = "Own replicas take the load that is always there, an API what is above; how many pay is worked out."
    STEM: ClassVar[Mapping[str, Any]] = {"kind": "hybrid"}
    PLACES: ClassVar[Mapping[str, Place]] = {"base": Place("base"), "overflow": Place("overflow")}

    base = forms.ChoiceField()
    overflow = forms.ChoiceField()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.choose("base", "Base", bases(self.case), "One of this decision's fleets.")
        self.choose("overflow", "Overflow", self.others_first_today("api"), "Where the rest goes.")

    @classmethod
    def missing(cls, case: Mapping[str, Any]) -> str:
        return "" if bases(case) else "Needs a fleet of our own to be a base: add that first."


class RoutedForm(MixtureForm):
    title = "A small and a large model"
    intro = "Requests that a small model answers well go to it, the rest to the large one."
    STEM: ClassVar[Mapping[str, Any]] = {"kind": "routed"}
    PLACES: ClassVar[Mapping[str, Place]] = {"small": Place("small"), "large": Place("large")}
    NUMBERS: ClassVar[Mapping[str, Number]] = {
        "small_percent": Number(
            "Share for the small model, %",
            "small_share",
            "Of requests, by your own evaluation of what it answers well.",
            scale=100,
            required=True,
        )
    }

    small = forms.ChoiceField()
    large = forms.ChoiceField()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.choose("small", "Small model", self.others_first_today(*SINGLE)[::-1], "One of this decision's options.")
        self.choose("large", "Large model", self.others_first_today(*SINGLE), "Another one.")
        self.order_fields(["small", "large", "small_percent"])

    @classmethod
    def missing(cls, case: Mapping[str, Any]) -> str:
        singles = [option for option in case["options"] if option["kind"] in SINGLE]
        return "" if len(singles) > 1 else "Needs two models to route between: add another option first."


def bases(case: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Fleets that can be a hybrid's base: those that stand all week or follow it."""
    fleets = [option for option in case["options"] if option["kind"] == "self_host"]
    return [fleet for fleet in fleets if fleet.get("scaling", {}).get("policy", "fixed") in ("fixed", "scheduled")]
