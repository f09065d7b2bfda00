"""Everything there is to know of this machine's first GPU and of our engine on it, in one command.

    python benchmarks/gpu.py --out result.json [--quick] [--vllm-python PATH]
    python benchmarks/gpu.py --dry-run

In this order: the GPU and who else uses it; every kernel against the reference; every kernel's bandwidth and arithmetic
against a copy and a matrix product of the same run; the scoreboard's jobs by our engine, vLLM, and transformers with
continuous and with static batches. Each is a process of its own and has a time limit; the result is written after each,
so that a run that is cut leaves what it has. --quick ends within 8 minutes. --dry-run walks all of it on a CPU, at toy
size. Needs torch, triton, transformers, psutil and, for clocks, nvidia-ml-py.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # so that it runs by its path, not installed

from benchmarks.scoreboard import parts, report
from benchmarks.scoreboard.jobs import JOBS, QUICK, toy
from benchmarks.scoreboard.state import Gpu

QUICK_S, FULL_S = 460.0, 3 * 3600.0
QUICK_TURN_S, FULL_TURN_S = 100.0, 900.0  # of one contender at one job, loading included


def main(arguments: list[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    gpu = Gpu()
    if gpu.missing is not None and not args.dry_run:
        print(f"error: no GPU to measure ({gpu.missing}); --dry-run needs none", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no child outlives this process
    _set_environment(args.dry_run)
    result = measure(args, gpu)
    print(report.text(result.told))
    return 1 if report.failures(result.told) else 0


def _set_environment(dry_run: bool) -> None:
    """Of the children: nobody asks a model hub for anything, and a dry run's kernels are interpreted."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    os.environ.pop("TRITON_INTERPRET", None)
    if dry_run:
        os.environ |= {"TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}


def measure(args: argparse.Namespace, gpu: Gpu) -> parts.Result:
    limit_s = args.limit_s or (QUICK_S if args.quick else FULL_S)
    result = parts.Result(args.out, until=time.monotonic() + limit_s)
    result.add(benchmark="gpu", dry_run=args.dry_run, quick=args.quick, **parts.about(gpu))
    device = "cpu" if args.dry_run else "cuda"
    kernel_flags = ["--device", device, *(["--quick"] if args.quick else [])]
    parts.kernel_checks(result, gpu, kernel_flags, limit_s=120 if args.quick else 1200)
    parts.kernel_speed(result, gpu, ["--device", device], limit_s=75 if args.quick else 600)
    with tempfile.TemporaryDirectory() as folder:
        jobs = QUICK if args.quick else JOBS
        chosen = [job for job in jobs if not args.job or job.name in args.job]
        if args.dry_run:
            chosen = [toy(job, Path(folder)) for job in chosen]
        for job in chosen:
            parts.scoreboard(result, gpu, job, parts.contenders(args.vllm_python), Path(folder),
                             limit_s=QUICK_TURN_S if args.quick else FULL_TURN_S)  # fmt: skip
    result.add(complete=True)
    return result


def _interpreter(text: str) -> Path:
    """As an absolute path, since children start elsewhere; links stay: a virtual environment's python is one."""
    path = Path(text).absolute()
    if not path.is_file() or not os.access(path, os.X_OK):
        wrong = "is not executable" if path.is_file() else "does not exist"
        raise argparse.ArgumentTypeError(f"{path} {wrong}: name an interpreter, or a script that starts one")
    return path


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="the result as JSON, written after each part")
    parser.add_argument("--quick", action="store_true", help="three jobs, fewer checks, 8 minutes at most")
    parser.add_argument("--limit-s", type=float, help="stop beginning parts so that all ends in this time")
    parser.add_argument("--job", action="append", choices=[job.name for job in JOBS], help="only this; may be repeated")
    parser.add_argument(
        "--vllm-python", type=_interpreter, help="an interpreter, or a script that starts one, that has vLLM"
    )
    parser.add_argument("--dry-run", action="store_true", help="walk through it on a CPU; its numbers mean nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main())
