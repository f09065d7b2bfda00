"""What a request may take: p95 of time to first token and of time per output token."""

from dataclasses import dataclass

from engine.errors import InputError


@dataclass(frozen=True, slots=True)
class Slo:
    """Upper limits in milliseconds; `preset` is the name it was asked by, if any."""

    ttft_p95_ms: float
    tpot_p95_ms: float
    preset: str | None = None

    def __post_init__(self) -> None:
        for name in ("ttft_p95_ms", "tpot_p95_ms"):
            if not 0 < getattr(self, name) < float("inf"):
                raise InputError(f"--slo: {name} is {getattr(self, name)}; it must be milliseconds above 0")


@dataclass(frozen=True, slots=True)
class Preset:
    """Limits that have a name; `label` is how a page calls them."""

    label: str
    ttft_p95_ms: float
    tpot_p95_ms: float


# MLPerf inference rules (Llama-3.1-8B and Llama-2-70B, server and interactive scenarios) and three common products.
# MLPerf states its limits for the 99th percentile; here they are held at the 95th like all others.
PRESETS = {
    "llama-3.1-8b-server": Preset("MLPerf Llama 3.1 8B, server", 2000, 100),
    "llama-3.1-8b-interactive": Preset("MLPerf Llama 3.1 8B, interactive", 500, 30),
    "llama-2-70b-server": Preset("MLPerf Llama 2 70B, server", 2000, 200),
    "llama-2-70b-interactive": Preset("MLPerf Llama 2 70B, interactive", 450, 40),
    "chat": Preset("Chat", 200, 50),
    "rag": Preset("Retrieval (RAG)", 300, 100),
    "code": Preset("Code completion", 500, 150),
}
DEFAULT = Slo(ttft_p95_ms=1000, tpot_p95_ms=50)


def slo_parse(text: str) -> Slo:
    """Read a preset's name or `ttft_p95_ms=1000,tpot_p95_ms=50`; raises InputError for anything else."""
    if text in PRESETS:
        preset = PRESETS[text]
        return Slo(preset.ttft_p95_ms, preset.tpot_p95_ms, preset=text)
    limits: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = part.strip().partition("=")
        if name not in ("ttft_p95_ms", "tpot_p95_ms") or name in limits:
            raise InputError(
                f"--slo {text!r}: {name or part!r} is not understood; give ttft_p95_ms=1000,tpot_p95_ms=50 or one of "
                f"{', '.join(PRESETS)}"
            )
        try:
            limits[name] = float(value)
        except ValueError:
            raise InputError(f"--slo: {name} is {value!r}; it must be a number of milliseconds") from None
    if len(limits) != 2:
        missing = ({"ttft_p95_ms", "tpot_p95_ms"} - limits.keys()).pop()
        raise InputError(f"--slo {text!r} has no {missing}; give both ttft_p95_ms and tpot_p95_ms")
    return Slo(limits["ttft_p95_ms"], limits["tpot_p95_ms"])
