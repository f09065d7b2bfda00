"""An engine process on virtual time: the real worker loop around a simulated server."""

import sys
from pathlib import Path

from engine.calibrate.targets.embedded import EmbeddedTarget
from engine.config import EngineOptions

VIRTUAL = """
import os, sys
from engine.calibrate.simulator import SimulatedBackend
from engine.calibrate.step_model import StepModel
from engine.config import SchedulerConfig
from engine.errors import InputError
from engine.worker import Worker

LIMITS = SchedulerConfig(max_batch=8, num_blocks=512, max_model_len=4096)

class Virtual(SimulatedBackend):
    def describe(self):
        limits = {name: getattr(LIMITS, name) for name in SchedulerConfig.__slots__}
        kinds = {"dtype": "bfloat16", "kv_dtype": "float8_e4m3fn", "quantization": "int8"}
        return {"scheduler": limits, "device": "cpu", "operations": "simulated", "threads": 1} | kinds
    def generate(self, prompts, max_tokens):
        return [prompt[:1] * max_tokens for prompt in prompts]

def start(command, interrupted):
    if command["options"]["max_batch"] == 13:
        raise InputError("max_batch 13 brings bad luck; take 12")
    if command["options"]["max_batch"] == 14:
        raise RuntimeError("out of luck")
    if command["options"]["max_batch"] == 15:
        print("a last word", file=sys.stderr, flush=True)
        os._exit(9)
    return Virtual(LIMITS, StepModel(20.0, 26.0, 4.0, 1.5, 0.12, 0.002, 0.00002).ms)

Worker(sys.stdin, sys.stdout, start).serve()
"""


def virtual(max_batch: int = 8) -> EmbeddedTarget:
    return EmbeddedTarget(Path("m"), EngineOptions(max_batch=max_batch), None, command=(sys.executable, "-c", VIRTUAL))
