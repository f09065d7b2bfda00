"""The rooms and the guided start. A new room is one line in ROOMS; a step that leads to it, its address in STEPS."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Room:
    """`url_name` takes the organization's slug; `namespace` marks the room as current on all of its pages."""

    title: str
    url_name: str

    @property
    def namespace(self) -> str:
        return self.url_name.partition(":")[0]


@dataclass(frozen=True)
class Step:
    title: str
    text: str
    url_name: str | None  # None while the room is not there
    action: str = ""


ROOMS = (
    Room("Home", "home:organization"),
    Room("Spend", "spend:overview"),
    Room("Workloads", "workloads:index"),
    Room("Prices", "catalog:index"),
    Room("Calibrations", "calibration:index"),
    Room("Decisions", "decisions:index"),
)
STEPS = (
    Step("Bring your bill", "Drop a usage export, or type one monthly figure.", "spend:upload", "Bring a bill"),
    Step(
        "Describe the traffic",
        "From the bill, from a request trace, or by hand: volume, lengths, latency, privacy.",
        "workloads:index",
        "Describe a workload",
    ),
    Step(
        "Measure or pick a measurement",
        "What one replica sustains at your own lengths.",
        "calibration:index",
        "Measure",
    ),
    Step(
        "Decide",
        "Keep the API, or serve it yourselves: with ranges, reasons and a page to sign.",
        "decisions:create",
        "Compare options",
    ),
)
