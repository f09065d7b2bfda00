"""What the engine asks of a device, and which one it gets."""

import os
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from engine.config import EngineConfig, EngineOptions, ModelShape
from engine.errors import InputError
from engine.sampler import Drawn
from engine.scheduler import Step


class Underway(Protocol):
    """A step that was launched."""

    step: Step
    tokens: Tensor | None  # once read

    def read(self) -> Drawn:
        """Wait for the step; call it in the order of launches, once each."""


class Backend(Protocol):
    """A model on a device. Everything chosen stands in `config`."""

    folder: Path
    shape: ModelShape
    config: EngineConfig
    stop_ids: frozenset[int]

    def launch(self, step: Step, before: Underway | None = None) -> Underway:
        """Lay a step out and set it going; `before` is the one launched before it, if that is not read yet."""

    def close(self) -> None:
        """End what other processes it has."""


def open_backend(model: Path, options: EngineOptions) -> Backend:
    """Load a model where it was asked for; "auto" is a GPU if there is one. Raises InputError for what can't be."""
    if _on_gpu(options.device):
        from engine.cuda.runner import CudaRunner  # imports Triton

        return CudaRunner.of(model, options)
    from engine.runner import Runner

    return Runner.of(model, options)


def _on_gpu(asked: str) -> bool:
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    if asked == "cuda" and not interpreted and not torch.cuda.is_available():
        raise InputError("device cuda: torch finds no CUDA GPU on this machine; use --device cpu")
    return asked == "cuda" or (asked == "auto" and not interpreted and torch.cuda.is_available())
