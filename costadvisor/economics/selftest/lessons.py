"""What published calculators get wrong: twelve traps, each guarded by a test into which the bug is planted, and what
else the worked examples teach."""

from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Lesson:
    """`trap` is its number among the twelve; 0 for a lesson that is none of them."""

    id: str
    trap: int
    title: str
    text: str


@cache
def lessons() -> dict[str, Lesson]:
    """By id: the twelve traps in order, then the rest."""
    traps = [Lesson(id_, place, title, text) for place, (id_, title, text) in enumerate(_TRAPS, start=1)]
    return {lesson.id: lesson for lesson in (*traps, *(Lesson(id_, 0, title, text) for id_, title, text in _OTHERS))}


_TRAPS = (
    (
        "idle",
        "An idle hour is paid",
        "A GPU that is on bills around the clock. How busy it is divides its tokens, and never multiplies its bill: at "
        "10 % busy a token costs ten times what it costs on a full one.",
    ),
    (
        "beyond-capacity",
        "No break-even beyond what the hardware can make",
        "A line through two prices crosses somewhere, often far above what the GPU can serve. There the answer is more "
        "replicas, or “never”.",
    ),
    (
        "staircase",
        "Break-even is a staircase, not a number",
        "Each further replica is a step up, so that own hosting can be cheaper, then dearer, then cheaper again. "
        "Every interval is given, and “never” where one full replica costs more than what it displaces.",
    ),
    (
        "single-stream",
        "Tokens a second of one stream are not a capacity",
        "Capacity is the rate that one replica sustains under open load inside the latency asked for, at the "
        "workload's own lengths. A rate in tokens is an assumption with a wide range.",
    ),
    (
        "two-prices",
        "Input and output tokens have two prices",
        "Real traffic reads 5 to 100 times more than it writes, and output costs several times more. One blended rate "
        "is right for one mix only.",
    ),
    (
        "discounts",
        "A discount touches its own share only",
        "The cache discount is for cached input, the batch discount for what may wait. Neither is for the whole bill.",
    ),
    (
        "hours",
        "One number of hours in a month",
        "720, 729.6 and 730 hours are all in use. The case names its own, and the rate and the bill use the same.",
    ),
    (
        "peak",
        "The fleet is sized for the peak hour",
        "The average hour needs half of the replicas that the busiest hour of an ordinary week needs.",
    ),
    (
        "quality",
        "A small model is not a frontier model",
        "An option that is not shown to be as good within a stated margin is excluded; its cost stays in the table.",
    ),
    (
        "setup",
        "Setup counts once",
        "It falls in month 0: in the total, the saving and the payback, and in no month's running cost.",
    ),
    (
        "host",
        "The host of an open model is an option too",
        "The same weights are often sold by the token for less than a full GPU costs. The fleet is held against the "
        "cheapest API, and not only against today's.",
    ),
    (
        "billed",
        "Estimated spend is not billed spend",
        "Spend is called billed only where the volume and the factor to list prices both come from a bill.",
    ),
)
_OTHERS = (
    (
        "cash",
        "Bought hardware is cash on the first day",
        "The amortized month is for reading. Totals, savings and payback take the purchase when it is made, and what "
        "it is sold for at the end.",
    ),
    (
        "window",
        "Work that can wait needs a GPU for a few hours a day",
        "A daily window pays its hours and its starts. What it saves shrinks hour by hour, to nothing.",
    ),
)
