"""Stands in for `python -m engine.calibrate` where failures are tested: says progress, then does what it is told to.

python fake_engine.py <behaviour> <record file to hand out> <the arguments that engine.calibrate gets>
"""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

behaviour, record, *arguments = sys.argv[1:]
options = dict(argument.partition("=")[::2] for argument in arguments)
out = Path(options["--out"])


def say(phase: str, percent: float, **more: object) -> None:
    print(json.dumps({"phase": phase, "percent": percent, "message": phase, **more}), flush=True)


def stopped(number: int, frame: object) -> None:
    """As the engine does it: keep what was measured, marked incomplete."""
    out.write_text(json.dumps(json.loads(Path(record).read_text()) | {"complete": False}))
    sys.exit(3)


with Path(record).with_name("runs").open("a") as runs:
    runs.write(f"{behaviour}\n")
signal.signal(signal.SIGTERM, stopped)
say("load", 5)
say("step_map", 40, output_tokens_per_s=250.5, seconds_left=9)
print("a library's warning that is not progress", flush=True)
if behaviour == "measure":
    say("done", 100)
    shutil.copy(record, out)
elif behaviour == "environment":
    out.with_name("environment.json").write_text(json.dumps(dict(os.environ)))
    shutil.copy(out.with_name("environment.json"), Path(record).with_name("environment.json"))
    shutil.copy(record, out)
elif behaviour == "wait":
    time.sleep(60)
elif behaviour == "refuse":
    print("error: --model tiny: no weights; put model.safetensors there", file=sys.stderr)
    sys.exit(2)
elif behaviour == "crash":
    print("error: the engine failed: RuntimeError: out of memory", file=sys.stderr)
    sys.exit(1)
elif behaviour == "die":
    os.kill(os.getpid(), signal.SIGKILL)
elif behaviour == "garbage":
    out.write_text('{"schema": "costadvisor.calibration/1", "id": NaN}')
elif behaviour == "limit":
    stopped(0, None)
else:
    assert behaviour == "nothing", behaviour
