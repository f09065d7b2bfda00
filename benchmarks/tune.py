"""Times candidates for the launch of each kernel on this GPU and writes the fastest into kernels/tuning.json.

    python benchmarks/tune.py [--kernel decode prefill ...] [--head-dim 128] [--group 4 8] [--out FILE]
    python benchmarks/tune.py --dry-run

For each head size, group and batch, the candidate wins whose time, as a geometric mean over lengths, is least: the
host knows the first three at launch, and lengths only the device. A candidate is left out and named that does not
compile, does not fit, or computes something else than attention is defined to be (of products: than the first one).
Rules of this GPU's compute capability are replaced; all others stay behind them. --dry-run tries two candidates a case
at toy size with Triton's interpreter, and prints the table.
"""

import argparse
import itertools
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))  # so that it runs by its path, not installed
if "--dry-run" in sys.argv:
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported

import torch
import triton
from torch import Tensor

from benchmarks.scoreboard.paged import Paged, attention, paged
from benchmarks.scoreboard.timing import seconds
from kernels import decode, matmul, mlp, moe, prefill, tuning
from kernels.tuning import LinearLaunch, PrefillLaunch

Use = dict[str, int]
AGREEMENT = 0.03  # of outputs, relative to what is wanted
CHECKED_TOKENS = 64  # of a prompt, its last: scores in float64 of all would not fit

# Of two loads that depend on one another, a block's number and the block, each gets half of the stages: with 3 or 4 one
# tile of keys and values is under way, with 5 two are.
DECODE = {"tile": (32, 64), "warps": (2, 4, 8), "stages": (2, 3, 5), "programs_per_sm": (2, 4, 8), "splits_max": (32,),
          "split_tokens": (256,)}  # fmt: skip
PREFILL = {"rows": (64, 128), "tile": (32, 64), "warps": (4, 8), "stages": (2, 3, 5)}
LINEAR = {"rows": (16, 64, 128), "columns": (32, 64, 128), "depth": (64, 128), "warps": (4, 8), "stages": (3, 4)}


class Size(NamedTuple):
    """How large cases are: on a GPU, or just large enough to go through."""

    device: str
    dtype: torch.dtype
    batches: tuple[int, ...]
    lengths: tuple[int, ...]
    tokens: tuple[int, ...]
    kv_heads: int
    hidden: int
    candidates: int | None  # None is all


GPU = Size(
    "cuda", torch.bfloat16, (1, 8, 32, 64, 128, 256), (512, 2048, 8192), (16, 64, 256, 1024, 4096), 8, 4096, None
)
TOY = Size("cpu", torch.float16, (1, 2), (5, 70), (2, 20), 1, 32, 2)


class Case(NamedTuple):
    """`run` takes a candidate and returns its output: `out`, if it writes into one that it was given.

    `wanted` is what the last rows of it must be; without it, what the first candidate that ran has made of them.
    """

    run: Callable[[Use], Tensor]
    out: Tensor | None
    wanted: Tensor | None = None


class Cell(NamedTuple):
    """Facts that one rule is for, each with its bound, and what is run there with a candidate: a case a length."""

    kernel: str
    when: Use
    candidates: dict[str, tuple[int, ...]]
    cases: Callable[[], Iterator[Case]]


def cells(size: Size, kernels: list[str], head_dims: list[int], groups: list[int]) -> Iterator[Cell]:
    """In the order in which their rules are to be tried: bounds from the lowest up, the last without one."""
    for head_dim, group in itertools.product(head_dims, groups):
        shape = {"head_dim_min": head_dim, "head_dim_max": head_dim, **_up_to("group", group, groups)}
        for batch in size.batches if "decode" in kernels else ():
            when = shape | _up_to("batch", batch, size.batches)
            yield Cell("decode", when, DECODE, partial(_decodes, size, head_dim, group, batch))
        for tokens in size.tokens if "prefill" in kernels else ():
            when = shape | _up_to("tokens", tokens, size.tokens)
            yield Cell("prefill", when, PREFILL, partial(_prefills, size, head_dim, group, tokens))
    for tokens in size.tokens:
        if "linear" in kernels:
            yield Cell("linear", _up_to("tokens", tokens, size.tokens), LINEAR, partial(_linears, size, tokens))
        if "experts" in kernels:
            mean = max(1, tokens // 16)
            yield Cell("experts", _up_to("mean", mean, [max(1, t // 16) for t in size.tokens]), LINEAR,
                       partial(_experts, size, tokens))  # fmt: skip


def _up_to(fact: str, value: int, values: Any) -> Use:
    return {} if value == max(values) else {f"{fact}_max": value}


def _decodes(size: Size, head_dim: int, group: int, batch: int) -> Iterator[Case]:
    for length in size.lengths:
        if batch * length > 1 << 20:
            continue
        case = paged([length] * batch, [1] * batch, kv_heads=size.kv_heads, group=group, head_dim=head_dim,
                     dtype=size.dtype, device=size.device)  # fmt: skip

        def run(use: Use, case: Paged = case) -> Tensor:
            launch = tuning.decode_by(use, tuning.device_of(case.queries.device), batch, size.kv_heads)
            decode.decode_attention(case.queries, case.cache, case.batch, case.scale, case.out, launch=launch)
            return case.out

        yield Case(run, case.out, attention(case, batch - 1))


def _prefills(size: Size, head_dim: int, group: int, tokens: int) -> Iterator[Case]:
    """One prompt from its start, and the same tokens at the end of a long one."""
    for prefix in (0, max(size.lengths)):
        case = paged([prefix + tokens], [tokens], kv_heads=size.kv_heads, group=group, head_dim=head_dim,
                     dtype=size.dtype, device=size.device)  # fmt: skip

        def run(use: Use, case: Paged = case) -> Tensor:
            launch = PrefillLaunch(**use)
            prefill.prefill_attention(case.queries, case.cache, case.batch, case.scale, case.out, launch=launch)
            return case.out

        yield Case(run, case.out, attention(case.last(CHECKED_TOKENS), 0))


def _linears(size: Size, tokens: int) -> Iterator[Case]:
    for size_out in (size.hidden, 6 * size.hidden):
        x = torch.randn(tokens, size.hidden, dtype=size.dtype, device=size.device)
        weight = torch.randint(-127, 127, (size_out, size.hidden), device=size.device).to(torch.int8)
        scales = torch.rand(size_out, device=size.device) / 100
        yield Case(partial(_linear, x, weight, scales), None)


def _linear(x: Tensor, weight: Tensor, scales: Tensor, use: Use) -> Tensor:
    return matmul.quantized_linear(x, weight, scales, LinearLaunch(**use))


def _experts(size: Size, tokens: int) -> Iterator[Case]:
    """128 experts of which each token takes 8, as in Qwen3-30B-A3B; on average tokens / 16 each."""
    count, inner = (128, 768) if size.candidates is None else (4, 16)
    per_token, hidden = min(8, count), size.hidden // 2
    kind: dict[str, Any] = {"dtype": size.dtype, "device": size.device}
    weights = torch.randn(count, 2 * inner, hidden, **kind), torch.randn(count, hidden, inner, **kind)
    x = torch.randn(tokens, hidden, **kind)
    shares, chosen = moe.route(torch.randn(tokens, count, **kind), per_token, True)

    def run(use: Use) -> Tensor:
        return moe.experts(x, shares, chosen, *weights, mlp.silu_mul, launch=LinearLaunch(**use))

    yield Case(run, None)


def tune(size: Size, cell: Cell) -> Use | None:
    """The fastest candidate, or None if none would run."""
    names = list(cell.candidates)
    uses = [dict(zip(names, values, strict=True)) for values in itertools.product(*cell.candidates.values())]
    logs = [0.0] * len(uses[: size.candidates])
    torch.manual_seed(0)
    for case in cell.cases():
        wanted = case.wanted
        for number, use in enumerate(uses[: size.candidates]):
            if logs[number] == math.inf:
                continue
            try:
                if case.out is not None:
                    case.out.fill_(math.nan)
                got = case.run(use)
                if not got.isfinite().all():
                    raise RuntimeError("its output is not finite")
                wanted = got.clone() if wanted is None else wanted
                if not (got[-len(wanted) :] - wanted).norm() <= AGREEMENT * wanted.norm():
                    raise RuntimeError("its output is not what is wanted")
                logs[number] += math.log(seconds(partial(case.run, use), size.device))
            except Exception as failure:  # of compilers and drivers: whatever they raise, the candidate is out
                logs[number] = math.inf
                print(f"left out: {cell.kernel} {use}: {type(failure).__name__}: {str(failure)[:100]}", file=sys.stderr)
    best = min(range(len(logs)), key=logs.__getitem__)
    return uses[best] if logs[best] < math.inf else None


def table(
    old: dict[str, Any], found: list[tuple[Cell, Use]], capability: int, hardware: dict[str, Any]
) -> dict[str, Any]:
    """The old table with rules of this capability replaced, for the kernels that were tuned."""
    exactly = {"capability_min": capability, "capability_max": capability}
    rules: tuning.Rules = dict(old["rules"])
    for kernel in dict.fromkeys(cell.kernel for cell, _ in found):
        new = [{"when": exactly | cell.when, "use": use} for cell, use in found if cell.kernel == kernel]
        others = [rule for rule in rules[kernel] if not exactly.items() <= rule["when"].items()]
        rules[kernel] = [
            rule for rule, after in itertools.zip_longest(new, new[1:]) if not _covered(rule, after)
        ] + others
    kernels = sorted({cell.kernel for cell, _ in found})
    return {"measured": [*old["measured"], hardware | {"kernels": kernels}], "rules": rules}


def _covered(rule: dict[str, Any], after: dict[str, Any] | None) -> bool:
    """Whether the next rule says the same and differs in a higher bound, or none, of the batch or tokens alone."""
    if after is None or rule["use"] != after["use"]:
        return False
    loose = ("batch_max", "tokens_max", "mean_max")
    kept, wider = ({k: v for k, v in one["when"].items() if k not in loose} for one in (rule, after))
    return kept == wider


def written(content: dict[str, Any]) -> str:
    """A rule a line, so that changes read well."""
    kernels = []
    for kernel, rules in content["rules"].items():
        lines = ",\n".join(f"      {json.dumps(rule)}" for rule in rules)
        kernels.append(f'    "{kernel}": [\n{lines}\n    ]')
    measured = ",\n".join(f"    {json.dumps(entry)}" for entry in content["measured"])
    return f'{{\n  "measured": [\n{measured}\n  ],\n  "rules": {{\n' + ",\n".join(kernels) + "\n  }\n}\n"


def hardware(size: Size) -> dict[str, Any]:
    on_gpu = size.device == "cuda"
    return {
        "gpu": torch.cuda.get_device_name() if on_gpu else "none: a dry run",
        "capability": tuning.device_of(torch.device(size.device)).capability,
        "torch": torch.__version__,
        "triton": triton.__version__,
        "utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def main() -> int:
    kernels = list(tuning.TABLE)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernel", nargs="+", choices=kernels, default=kernels)
    parser.add_argument("--head-dim", nargs="+", type=int, default=[128])
    parser.add_argument("--group", nargs="+", type=int, default=[2, 4, 8])
    parser.add_argument("--out", type=Path, help="default: kernels/tuning.json; a dry run prints")
    parser.add_argument("--dry-run", action="store_true")
    args = parser.parse_args()
    if not args.dry_run and not torch.cuda.is_available():
        print("error: no GPU to tune on; --dry-run needs none", file=sys.stderr)
        return 2
    size = TOY if args.dry_run else GPU
    about = hardware(size)
    content = old = json.loads(tuning.PATH.read_text())
    out = args.out or (None if args.dry_run else tuning.PATH)
    found: list[tuple[Cell, Use]] = []
    for cell in cells(size, args.kernel, sorted(args.head_dim), sorted(args.group)):
        use = tune(size, cell)
        if use is not None:
            found.append((cell, use))
            print(f"{cell.kernel} {cell.when}: {use}", file=sys.stderr, flush=True)
            content = table(old, found, about["capability"], about)
            if out is not None:
                out.write_text(written(content))
    if out is None:
        print(written(content), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
