"""What GPUs can do by their makers' datasheets: `fixtures/gpus.json`, of which each line names its source."""

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from engine.errors import InputError

FILE = Path(__file__).resolve().parents[2] / "fixtures" / "gpus.json"


@dataclass(frozen=True, slots=True)
class GpuFacts:
    """One GPU. `memory_mib` is what its driver reports; TFLOP/s are of dense products, None where it has no fp8."""

    name: str
    aliases: tuple[str, ...]  # what drivers and other tools call it
    memory_mib: int
    bandwidth_gb_per_s: float
    bf16_tflops: float
    fp8_tflops: float | None
    source: str

    @property
    def memory_bytes(self) -> int:
        return self.memory_mib * 2**20

    def tflops(self, quantization: str | None) -> float:
        """Of the products that a model of this `quantization` is made of; raises InputError where it has none."""
        if quantization != "fp8":
            return self.bf16_tflops
        if self.fp8_tflops is None:
            raise InputError(f"{self.name} does not multiply in fp8, which the model is quantized to; name another GPU")
        return self.fp8_tflops


@cache
def gpus() -> tuple[GpuFacts, ...]:
    raw = json.loads(FILE.read_text(encoding="utf-8"))
    return tuple(GpuFacts(**{**gpu, "aliases": tuple(gpu["aliases"])}) for gpu in raw["gpus"])


def gpu_facts(name: str) -> GpuFacts:
    """The GPU of this name or alias, or the only one whose name begins so; raises InputError naming the known ones."""
    found = gpus_named(name)
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"{name} may be {' or '.join(gpu.name for gpu in found)}; say which")
    raise InputError(f"GPU {name!r} is not in {FILE.name}; known are {', '.join(gpu.name for gpu in gpus())}")


def gpus_named(name: str) -> list[GpuFacts]:
    """Those that a name may mean: none, one, or several that it is the beginning of."""
    wanted = _plain(name)
    exact = [gpu for gpu in gpus() if wanted in map(_plain, (gpu.name, *gpu.aliases))]
    return exact or [gpu for gpu in gpus() if _plain(gpu.name).startswith(f"{wanted} ")]


def _plain(name: str) -> str:
    """`H100-SXM5` is `h100 sxm`."""
    return re.sub(r"sxm\d", "sxm", " ".join(name.casefold().replace("-", " ").split()))
