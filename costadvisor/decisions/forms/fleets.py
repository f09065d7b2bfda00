"""Options with GPUs of one's own, rented or bought: one form a way of paying for them."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, ClassVar

from django import forms

from costadvisor.catalog.snapshot import snapshot
from costadvisor.common.refusal import Refusal
from costadvisor.decisions import candidates
from costadvisor.decisions.candidates import RENTED_PRIVACY, Candidate
from costadvisor.decisions.capacity import ESTIMATED
from costadvisor.decisions.forms.fields import privacy_field
from costadvisor.decisions.forms.options import Number, OptionForm
from costadvisor.decisions.forms.places import Place, merged
from costadvisor.decisions.prices import median_rent
from costadvisor.decisions.written import WrittenOption, entered, published_quality

TYPED = "typed"
RATE, SIZE, TEAM = "A typed rate", "Spares and limits", "People, tools and setup"
MEASURED = ("model", "capacity", "quality")  # what a measurement says of an option
RATE_FIELDS = ("model", "gpu", "gpus_per_replica", "rate", "rate_unit")
RATE_UNITS = (
    ("requests_per_s", "requests a second, inside the latency target"),
    ("tokens_per_s", "tokens a second, input and output together"),
)
SIZES = (("fixed", "For the busiest hour, all week"), ("scheduled", "Following the week, hour by hour"))
POWER = "Of all its GPUs, with server, network and, if PUE is 1, cooling; for one H100 or H200 see here."
COLD_START = {
    "cold_start_s": Number("Seconds until a new replica serves", "scaling/cold_start_s", start=120),
}
SIZE_NUMBERS = {
    "headroom_percent": Number("Headroom above the peak, %", "scaling/headroom", scale=100),
    "spare_replicas": Number("Spare replicas", "scaling/spare_replicas"),
    "min_replicas": Number("Fewest replicas", "scaling/min_replicas"),
    "max_replicas": Number("Most replicas that can be had", "scaling/max_replicas"),
}
TEAM_NUMBERS = {
    "fte": Number("People, full-time equivalents", "operations/fte"),
    "usd_per_fte_year": Number("A full-time person, USD a year", "operations/usd_per_fte_year"),
    "tools_usd_per_month": Number("Tools and monitoring, USD a month", "operations/usd_per_month"),
    "overhead_percent": Number(
        "Overhead on the GPU bill, %", "operations/overhead_share", "Network, storage and support.", scale=100
    ),
    "setup_usd": Number("Setup, USD once", "operations/setup_usd"),
}


def rent(of: str) -> dict[str, Number]:
    help_text = f"All its GPUs. Left empty, the median of the {of} offers in the catalog."
    return {"usd_per_hour": Number("Price of a replica-hour, USD", "hardware/usd_per_hour", help_text)}


class FleetForm(OptionForm):
    """`EXTRA` are the numbers of a kind, shown below the throughput."""

    EXTRA: ClassVar[Mapping[str, Number]] = {}
    PRIVACY: ClassVar[tuple[str, ...]] = RENTED_PRIVACY
    PATHS: ClassVar[Mapping[str, str]] = {
        "capacity/record": "measurement",
        "capacity": "rate",
        "hardware/gpus_per_replica": "gpus_per_replica",
        "model": "model",
    }
    GROUPS: ClassVar[Mapping[str, Sequence[str]]] = {
        RATE: RATE_FIELDS,
        SIZE: tuple(SIZE_NUMBERS),
        TEAM: tuple(TEAM_NUMBERS),
    }
    FOLDED = (RATE, SIZE, TEAM)

    model = forms.CharField(max_length=200, required=False)
    gpu = forms.ChoiceField(label="GPU", required=False)
    gpus_per_replica = forms.IntegerField(label="GPUs per replica", min_value=1, max_value=64, required=False)
    rate = forms.FloatField(label="Typed rate", min_value=0, max_value=1e9, required=False)
    rate_unit = forms.ChoiceField(label="Unit of the typed rate", required=False, choices=RATE_UNITS)
    privacy = privacy_field("What this hosting gives", "")

    WHERE: ClassVar[str] = "Rented in your own cloud account and region, as a rule."

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.NUMBERS = {**cls.EXTRA, **SIZE_NUMBERS, **TEAM_NUMBERS}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["privacy"].help_text = self.WHERE
        self.known = self._offer_measurements()
        gpus = sorted({offer.gpu for offer in snapshot().gpu_offers})
        self.fields["gpu"] = forms.ChoiceField(label="GPU", required=False, choices=[(gpu, gpu) for gpu in gpus])
        if self.option is None:
            self.fields["privacy"].initial = list(self.PRIVACY)
        else:
            self._begin_rate(self.option)
        self.order_fields(["measurement", *self.EXTRA, "term", "policy", "privacy"])

    def clean(self) -> None:
        data = self.cleaned_data
        if data.get("measurement") == TYPED:
            for name in ("model", "gpu", "gpus_per_replica", "rate"):
                if data.get(name) in (None, "") and name not in self.errors:
                    self.add_error(name, "A typed rate needs this too.")

    def stem(self, source: str) -> WrittenOption:
        """What is measured says its own model and GPU; a typed rate is assumed, whatever its digits."""
        stored = self.stored()
        if stored is not None and not {"measurement", *RATE_FIELDS} & set(self.changed_data):
            return stored
        found = self.known.get(self.cleaned_data["measurement"])
        served = self._typed(source) if found is None else found.written
        if stored is None:
            return WrittenOption(merged(served.option, self.STEM), served.evidence)
        kept = {key: value for key, value in stored.option.items() if key not in MEASURED}
        option = merged(kept, {key: served.option[key] for key in MEASURED if key in served.option})
        option["hardware"] |= {key: served.option["hardware"][key] for key in ("gpu", "gpus_per_replica")}
        evidence = {path: said for path, said in stored.evidence.items() if path not in ("capacity", "quality")}
        return WrittenOption(option, evidence | {p: s for p, s in served.evidence.items() if p == "capacity"})

    def _typed(self, source: str) -> WrittenOption:
        data = self.cleaned_data
        model = data["model"].strip()
        scores = published_quality(snapshot().quality_scores, model=model)
        option = {
            "kind": "self_host",
            "model": model,
            "privacy": list(self.PRIVACY),
            "hardware": {"gpu": data["gpu"], "gpus_per_replica": data["gpus_per_replica"]},
            "capacity": {data["rate_unit"] or "requests_per_s": data["rate"]},
        }
        evidence = {"capacity": entered(source), "privacy": entered(candidates.RENTED_WHERE)}
        return WrittenOption(option | ({"quality": scores} if scores else {}), evidence)

    def _offer_measurements(self) -> dict[str, Candidate]:
        own, published = candidates.measured(self.records), candidates.published()
        groups: list[Any] = [
            ("", "Choose one"),
            ("Published measurements", [(found.key, found.label) for found in published]),
        ]
        if own:
            groups.insert(1, ("Your own calibrations", [(found.key, found.label) for found in own]))
        if Place("capacity/record").read(self.option or {}) == ESTIMATED:
            groups.append(("By arithmetic", [(ESTIMATED, "Estimated from the datasheet; nobody measured it")]))
        groups.append(("Your own word", [(TYPED, "The typed rate below; it counts as assumed")]))
        self.fields["measurement"] = forms.ChoiceField(
            label="Throughput of one replica",
            choices=groups,
            help_text="Measured by you, published by somebody, or assumed: it decides more than the price.",
        )
        return {found.key: found for found in (*own, *published)}

    def _begin_rate(self, option: Mapping[str, Any]) -> None:
        capacity = option.get("capacity", {})
        record = capacity.get("record")
        self.fields["measurement"].initial = record or TYPED
        if record:
            return
        unit = next((unit for unit, _ in RATE_UNITS if unit in capacity), "requests_per_s")
        hardware = option["hardware"]
        start = {"model": option["model"], "gpu": hardware["gpu"], "rate": capacity.get(unit), "rate_unit": unit}
        for name, value in (start | {"gpus_per_replica": hardware.get("gpus_per_replica", 1)}).items():
            self.fields[name].initial = value


class RentedForm(FleetForm):
    title = "GPUs rented by the hour"
    intro = "Paid while they run, given back any hour."
    STEM: ClassVar[Mapping[str, Any]] = {"scaling": {"policy": "fixed", "cold_start_s": 120}}
    PLACES: ClassVar[Mapping[str, Place]] = {"policy": Place("scaling/policy")}
    EXTRA: ClassVar[Mapping[str, Number]] = {**rent("on-demand"), **COLD_START}

    policy = forms.ChoiceField(label="Size of the fleet", choices=SIZES, widget=forms.RadioSelect)


class ReservedForm(FleetForm):
    title = "GPUs reserved for a term"
    intro = "Cheaper by the hour, and paid around the clock to the end of the term, used or not."
    STEM: ClassVar[Mapping[str, Any]] = {"hardware": {"plan": "reserved_1y"}}
    PLACES: ClassVar[Mapping[str, Place]] = {"term": Place("hardware/plan")}
    EXTRA: ClassVar[Mapping[str, Number]] = rent("reserved")

    term = forms.ChoiceField(
        label="Term", choices=[("reserved_1y", "One year"), ("reserved_3y", "Three years")], widget=forms.RadioSelect
    )


class SpotForm(FleetForm):
    title = "Spot GPUs"
    intro = "Cheaper, and taken away at short notice: while no spot machine is to be had, the fallback is paid."
    STEM: ClassVar[Mapping[str, Any]] = {
        "hardware": {"plan": "spot"}, "scaling": {"policy": "scheduled", "cold_start_s": 120},
    }  # fmt: skip
    EXTRA: ClassVar[Mapping[str, Number]] = {
        **rent("spot"),
        "fallback_usd_per_hour": Number(
            "Price of the fallback, USD a replica-hour",
            "hardware/spot/fallback_usd_per_hour",
            "On demand, as a rule. Left empty, the median of the on-demand offers in the catalog.",
        ),
        "interruptions_per_month": Number(
            "Interruptions of a replica a month", "hardware/spot/interruptions_per_month"
        ),
        "unavailable_percent": Number("Time without a spot machine, %", "hardware/spot/unavailable_share", scale=100),
        **COLD_START,
    }

    def written(self, source: str) -> WrittenOption:
        """What is said of interruptions needs a fallback's price beside it: the catalog's, where none is typed."""
        found = super().written(source)
        hardware = found.option["hardware"]
        spot = hardware.get("spot")
        if not spot:
            hardware.pop("spot", None)
        elif "fallback_usd_per_hour" not in spot:
            rented = median_rent(hardware, "on_demand", date.fromisoformat(self.case["as_of"]), snapshot())
            if rented is None:
                raise Refusal("No on-demand offer of this GPU is known; give the price.", field="fallback_usd_per_hour")
            spot["fallback_usd_per_hour"], found.evidence["hardware/spot/fallback_usd_per_hour"] = rented
        return found


class ServerlessForm(FleetForm):
    title = "Serverless GPUs"
    intro = "Paid from a request until nothing came for a while, with a start each time; nothing at night."
    STEM: ClassVar[Mapping[str, Any]] = {
        "hardware": {"plan": "serverless"}, "scaling": {"policy": "scale_to_zero", "cold_start_s": 120},
    }  # fmt: skip
    EXTRA: ClassVar[Mapping[str, Number]] = {
        **rent("serverless"),
        "idle_timeout_s": Number("Seconds idle until a replica stops", "scaling/idle_timeout_s"),
        **COLD_START,
        "keep_warm": Number("Replicas kept warm", "scaling/keep_warm", "Always on, so that nobody waits for a start."),
    }


class WindowForm(FleetForm):
    title = "A daily batch window"
    intro = "A day's work collected and done in a few hours, on GPUs rented for those hours."
    STEM: ClassVar[Mapping[str, Any]] = {
        "scaling": {"policy": "window", "cold_start_s": 120, "spare_replicas": 0, "window_hours_per_day": 8},
    }
    PATHS: ClassVar[Mapping[str, str]] = {**FleetForm.PATHS, "scaling/policy": "window_hours_per_day"}
    EXTRA: ClassVar[Mapping[str, Number]] = {
        "window_hours_per_day": Number(
            "Hours a day", "scaling/window_hours_per_day", "Shorter needs more replicas.", required=True
        ),
        **rent("on-demand"),
        **COLD_START,
    }

    @classmethod
    def missing(cls, case: Mapping[str, Any]) -> str:
        waits = float(case["workload"].get("batchable_share", 0))
        if waits == 1:
            return ""
        return f"For work that can all wait a day: here {waits * 100:.3g} % of requests can (see “What if?”)."


class OwnedForm(FleetForm):
    title = "Hardware of our own"
    intro = "Bought, kept for its useful life and sold; with power, cooling and a place to stand."
    PRIVACY = ("on_prem", "in_region")
    WHERE = "In rooms of your own, as a rule."
    STEM: ClassVar[Mapping[str, Any]] = {"hardware": {"plan": "owned"}}
    EXTRA: ClassVar[Mapping[str, Number]] = {
        "purchase_usd": Number(
            "Purchase of a replica, USD",
            "hardware/purchase_usd",
            "All its GPUs, with server and network.",
            required=True,
            start="",
        ),
        "useful_life_months": Number("Useful life, months", "hardware/useful_life_months"),
        "residual_percent": Number("Sold for, % of the purchase", "hardware/residual_share", scale=100),
        "power_kw": Number("Power of a replica under load, kW", "hardware/power_kw", POWER, required=True, start=""),
        "usd_per_kwh": Number(
            "Electricity, USD per kWh", "hardware/usd_per_kwh", "Of your own contract.", required=True, start=""
        ),
        "pue": Number(
            "Power usage effectiveness", "hardware/pue", "1 where cooling is in the power already; 1.2 to 1.6 else."
        ),
        "colocation_usd_per_month": Number(
            "Space of a replica, USD a month",
            "hardware/colocation_usd_per_month",
            "Rack, remote hands; 0 in rooms of your own.",
        ),
    }
