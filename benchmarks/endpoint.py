"""How true the load client is: its latencies beside those of a mock server whose step time is known.

    python -m benchmarks.endpoint [--step a=20,b=1.5,c=0.1,d=0.002] [--seconds 20]

Client and server are processes of their own, as they are in use; leave the machine to them. Each level is compared with
what the server knows of the very same requests (`server`), and with the engine's simulator, which runs the same load
under a virtual clock and has never heard of HTTP (`model`). Exits 1 when a mean or a p95 misses the limits: TPOT 1 %,
TTFT 3 %.
"""

import argparse
import json
import statistics
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any

from engine.calibrate.client.address import Address
from engine.calibrate.level import LevelLog, LevelSpec
from engine.calibrate.metrics import percentile
from engine.calibrate.mock.__main__ import step_time
from engine.calibrate.simulator import OpenLoad, StepTime, simulate
from engine.calibrate.targets.endpoint import EndpointTarget
from engine.calibrate.workload import Lengths, Workload
from engine.config import SchedulerConfig

LIMITS = {"ttft": 0.03, "tpot": 0.01}
LOADS = (("closed", 1), ("closed", 4), ("closed", 16), ("closed", 32), ("open", 0.5), ("open", 0.8))
MIX = Workload("mix", (Lengths(512, 64), Lengths(128, 96), Lengths(900, 32)), (3.0, 2.0, 1.0))
SEED = 3

Latencies = dict[str, list[float]]  # milliseconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--step", default="a=20,b=1.5,c=0.1,d=0.002", help="milliseconds, as the mock takes it")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each level")
    args = parser.parse_args()
    command = [sys.executable, "-m", "engine.calibrate.mock", "--step", args.step]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as mock:
        try:
            url = json.loads(mock.stdout.readline())["endpoint"] if mock.stdout else ""
            good = [compare(url, spec, log, step_time(args.step)) for spec, log in levels(url, args.seconds)]
        finally:
            mock.terminate()
    return 0 if all(good) else 1


def levels(url: str, seconds: float) -> Iterator[tuple[LevelSpec, LevelLog]]:
    """Run one level after the other; open loops at shares of what the fastest closed one brought."""
    target = EndpointTarget(Address.of(url, ["127.0.0.1"]), "mock")
    fastest = 0.0
    try:
        target.start(lambda: False)
        for mode, amount in LOADS:
            spec = _closed(int(amount), seconds) if mode == "closed" else _open(amount * fastest, seconds)
            log = target.run(spec, lambda: False, lambda *progress: None)
            if log.client is not None and mode == "closed":
                fastest = max(fastest, log.client.output_tokens / seconds / MIX.mean[1])
            yield spec, log
    finally:
        target.close()


def _closed(concurrency: int, seconds: float) -> LevelSpec:
    lengths = OpenLoad.draw(MIX, 4096, SEED).lengths
    return LevelSpec(f"{concurrency} at a time", "truth", SEED, lengths, seconds, 60.0, concurrency=concurrency)


def _open(rate: float, seconds: float) -> LevelSpec:
    load = OpenLoad.draw(MIX, max(1, round(rate * seconds)), SEED)
    return load.level(f"{rate:.2f} requests/s", "truth", SEED, rate, 0, 60.0)


def compare(url: str, spec: LevelSpec, log: LevelLog, step_ms: StepTime) -> bool:
    """Print a level's lines; True when all are within the limits."""
    ours = _latencies(log)
    server = _server(url, log)
    model = _latencies(simulate(SchedulerConfig(num_blocks=4096), step_ms, spec))
    print(f"{spec.id}: {len(ours['ttft'])} requests, {_client(spec, log)}")
    good = True
    for metric, limit in LIMITS.items():
        for name, value in (("mean", statistics.fmean), ("p95", _p95)):
            measured, true, predicted = (value(found[metric]) for found in (ours, server, model))
            error = measured / true - 1
            good = good and abs(error) <= limit
            print(
                f"  {metric} {name:4}  client {measured:8.2f} ms   server {true:8.2f} ({100 * error:+.2f} %)   "
                f"model {predicted:8.2f} ({100 * (measured / predicted - 1):+.2f} %)",
                flush=True,
            )
    return good


def _client(spec: LevelSpec, log: LevelLog) -> str:
    if log.client is None:
        raise ValueError("the level was not sent by the client")
    lag = f"99 % sent within {log.client.send_lag_p99_ms:.2f} ms of the schedule, " if spec.open_loop else ""
    return f"{lag}client {100 * log.client.cpu_share:.0f} % of a core"


def _latencies(log: LevelLog) -> Latencies:
    """Of requests that finished; in open loop TTFT counts from the schedule."""
    rows = [row for row in log.requests if row.finished and not row.starter]
    return {
        "ttft": [(row.t_first - row.t_sched) * 1000 for row in rows if row.t_first],
        "tpot": [r.tpot_ms or 0 for r in rows],
    }


def _server(url: str, log: LevelLog) -> Latencies:
    """What the server knows of the same requests, which came last, in the order they were sent."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/log") as answer:  # noqa: S310
        served: list[dict[str, Any]] = json.load(answer)["requests"][-len(log.requests) :]
    sent = sorted(log.requests, key=lambda row: row.t_sent)
    both = [known for row, known in zip(sent, served, strict=True) if row.finished and not row.starter]
    return {
        "ttft": [(known["first_s"] - known["arrived_s"]) * 1000 for known in both],
        "tpot": [(known["last_s"] - known["first_s"]) / (known["output"] - 1) * 1000 for known in both],
    }


def _p95(values: Sequence[float]) -> float:
    """Of too few values the largest, which is compared with the largest."""
    return percentile(values, 0.95) or max(values)


if __name__ == "__main__":
    sys.exit(main())
