"""Compiles the C++ of this folder for this machine's CPU, once, and loads it."""

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCES = sorted(Path(__file__).parent.glob("*.cpp"))
HEADERS = sorted(Path(__file__).parent.glob("*.h"))
# Sums may be reordered, without which no dot product is vectorized; NaN and infinity keep their meaning.
VECTORIZED = ["-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-fassociative-math"]
FLAGS = ["-O3", "-march=native", "-std=c++17", "-fopenmp", "-fPIC", "-shared", *VECTORIZED]

CPU = Path("/proc/cpuinfo")
INSTRUCTIONS = ("flags", "Features", "CPU part")  # lines that tell what -march=native means: on x86, and on ARM

KINDS = {"*": ctypes.c_void_p, "i": ctypes.c_int64, "f": ctypes.c_float, "?": ctypes.c_bool}
PLAIN = ("float", "bfloat16")
WITH_NORMS = ("float_float", "bfloat16_bfloat16", "bfloat16_float")
# Each function's arguments, and the types of numbers that its name ends with.
FUNCTIONS = {
    "add_rms_norm": ("***fii*", WITH_NORMS),
    "rope_and_write_kv": ("***i****fii*", WITH_NORMS),
    "decode_attention": ("***i*iiiff*", PLAIN),
    "prefill_attention": ("***i*iiiff*", PLAIN),
    "gated": ("*ii?*", PLAIN),
}
# Those that only some CPUs have, behind a function that says whether this one does.
MATMUL_FUNCTIONS = {
    "pack_bfloat16": "*ii*",
    "pack_int8": "*ii*",
    "linear_bfloat16": "*ii**i*",
    "linear_int8": "*ii***i*",
}


class Unavailable(Exception):
    """Why these operations can't be had on this machine, in a sentence."""


@functools.cache
def library() -> ctypes.CDLL:
    """The compiled operations. Raises Unavailable where there is no C++ compiler, or it fails."""
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        raise Unavailable("no C++ compiler (c++ or g++) on the PATH")
    try:
        built = _cache_folder() / f"native-{_identity(compiler)}.so"
        if not built.is_file():
            _compile(compiler, built)
        loaded = ctypes.CDLL(str(built))
    except subprocess.CalledProcessError as error:
        raise Unavailable(f"{compiler} could not compile the operations: {error.stderr.strip()[:300]}") from None
    except OSError as error:
        raise Unavailable(f"the operations can't be compiled and loaded: {error}") from None
    for name, (arguments, types) in FUNCTIONS.items():
        for suffix in types:
            getattr(loaded, f"{name}_{suffix}").argtypes = [KINDS[kind] for kind in arguments]
    for name, arguments in MATMUL_FUNCTIONS.items() if multiplies(loaded) else ():
        getattr(loaded, name).argtypes = [KINDS[kind] for kind in arguments]
    return loaded


def multiplies(loaded: ctypes.CDLL) -> bool:
    """Whether the CPU has what products with weights are written for."""
    asked = loaded.multiplies_bfloat16
    asked.restype = ctypes.c_bool
    answer: bool = asked()
    return answer


def _cache_folder() -> Path:
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "costadvisor"
    except RuntimeError as error:
        raise Unavailable(f"there is no folder for the compiled operations ({error}); set XDG_CACHE_HOME") from None


def _identity(compiler: str) -> str:
    """Changes with the source, the compiler and the CPU, as a home folder may be shared between machines."""
    lines = CPU.read_text().splitlines() if CPU.is_file() else []
    cpu = sorted({line for line in lines if line.startswith(INSTRUCTIONS)})
    version = subprocess.run([compiler, "--version"], check=False, capture_output=True, text=True).stdout
    parts = [*(source.read_text() for source in (*SOURCES, *HEADERS)), compiler, version, *FLAGS, *cpu]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _compile(compiler: str, built: Path) -> None:
    """Beside its place and then into it, so that two processes that start together do each other no harm."""
    built.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=built.parent) as folder:
        fresh = Path(folder) / built.name
        subprocess.run([compiler, *FLAGS, "-o", fresh, *SOURCES], check=True, capture_output=True, text=True)
        fresh.replace(built)
