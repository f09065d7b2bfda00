"""What is measured on: the machine, the software, the model's files, this code."""

import hashlib
import os
import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

import psutil

from engine.calibrate.record_parts import Cpu, Model, Software, Source
from engine.config import ModelShape

PACKAGE = Path(__file__).resolve().parent


def cpu_facts() -> Cpu:
    return Cpu(
        model=_cpu_model(),
        cores=os.cpu_count() or 1,
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        load_1m=os.getloadavg()[0],
    )


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def software_facts(device: str, operations: str | None) -> Software:
    return Software(
        platform=platform.platform(),
        python=platform.python_version(),
        torch=_version("torch"),
        triton=_version("triton") if device == "cuda" else None,
        attention_backend=operations,
        cuda_graphs=None if device == "cuda" else False,
    )


def _version(package: str) -> str | None:
    """An installed package's version, read without importing it."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def source_facts() -> Source:
    """Commit and dirty flag where the code runs from a git checkout, else unknown."""
    commit = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no") if commit else None
    return Source(
        tool="engine.calibrate",
        version=_version("costadvisor"),
        commit=commit,
        dirty=None if changed is None else bool(changed),
    )


def _git(*arguments: str) -> str | None:
    git = shutil.which("git")
    if git is None:
        return None
    done = subprocess.run([git, "-C", str(PACKAGE), *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def model_facts(
    folder: Path, shape: ModelShape, dtype: str | None, kv_dtype: str | None, quantization: str | None, *, dummy: bool
) -> Model:
    """The model by name, shape and the hash of every weight file. The folder's place is nobody's business."""
    return Model(
        name=folder.resolve().name,
        revision=None,
        family=shape.family,
        layers=shape.layers,
        hidden=shape.hidden,
        heads=shape.heads,
        kv_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        intermediate=shape.intermediate,
        vocab=shape.vocab,
        dtype=dtype,
        kv_dtype=kv_dtype,
        quantization=quantization,
        weights="dummy" if dummy else {path.name: _sha256(path) for path in sorted(folder.glob("*.safetensors"))},
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
