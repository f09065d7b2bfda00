"""A result as text for a terminal."""

from typing import Any

WIDE = 26


def text(told: dict[str, Any]) -> str:
    jobs = [_job(job, compared=not told["dry_run"]) for job in told.get("scoreboard", [])]
    parts = [_head(told), _checks(told.get("kernel_checks")), _kernels(told), *jobs]
    if told["dry_run"]:
        parts.append("A dry run at toy size on a CPU: it shows that every part runs, and its numbers mean nothing.")
    return "\n\n".join(part for part in parts if part)


def failures(told: dict[str, Any]) -> list[str]:
    """What of our own went wrong; that a peer could not run is its row's affair."""
    parts = [(name, told[name]) for name in ("kernel_checks", "kernel_speed")]
    parts += [(job["job"], row) for job in told.get("scoreboard", []) for row in job["rows"][:1]]
    failed = [name for name, part in parts if part["failed"]]
    failed += [wrong["check"] for wrong in told["kernel_checks"]["wrong"]]
    return failed + [row["kernel"] for row in told["kernel_speed"]["kernels"] if "s" not in row]


def _head(told: dict[str, Any]) -> str:
    gpu, software = told["gpu"], ", ".join(f"{name} {of or 'missing'}" for name, of in told["software"].items())
    if "missing" in gpu:
        return f"No GPU ({gpu['missing']})\n{software}"
    others = gpu["other_processes"]
    warning = f"\nWARNING: {others} other processes on the GPU; what follows is not to be trusted" if others else ""
    return (
        f"{gpu['name']}, driver {gpu['driver']}, {gpu['memory_free_gib']} of {gpu['memory_gib']} GiB free, "
        f"{gpu['power_limit_w']} W, SM up to {gpu['sm_clock_max_mhz']} MHz{warning}\n{software}, "
        f"commit {told['commit'] or 'unknown'}{' with changes' if told['dirty'] else ''}"
    )


def _checks(checks: dict[str, Any] | None) -> str:
    if checks is None:
        return ""
    lines = [f"Kernels against the reference: {checks['passed']} of {len(checks['checks'])} right{_failed(checks)}"]
    for wrong in checks["wrong"]:
        seen = wrong.get("failed") or f"error {_or_unknown(wrong['error'], '.2g')} over {wrong['tolerance']:g}"
        lines.append(f"  WRONG {wrong['check']} ({wrong['dtype']}): {seen}")
    return "\n".join(lines)


def _kernels(told: dict[str, Any]) -> str:
    speed, ceilings = told.get("kernel_speed"), told.get("ceilings")
    if not speed or not ceilings:
        return f"Kernel speed: nothing{_failed(speed)}" if speed else ""
    lines = [
        f"Ceilings of this run: copy {ceilings['bytes_per_s'] / 1e12:.2f} TB/s, "
        f"bf16 product {ceilings['flops_per_s'] / 1e12:.0f} TFLOP/s{_failed(speed)}{_clocks(speed['gpu'])}",
        f"{'kernel':{WIDE}}{'µs':>10}{'TB/s':>8}{'TFLOP/s':>9}{'roofline':>10}  bound by",
    ]
    for row in speed["kernels"]:
        if "s" not in row:
            lines.append(f"{row['kernel']:{WIDE}}  {row['failed']}")
            continue
        share = _or_unknown(None if told["dry_run"] else row["roofline_share"], ".1%")
        lines.append(
            f"{row['kernel']:{WIDE}}{row['s'] * 1e6:10.1f}{row['bytes_per_s'] / 1e12:8.2f}"
            f"{row['flops_per_s'] / 1e12:9.1f}{share:>10}  {row['bound_by']}"
        )
    return "\n".join(lines)


def _job(job: dict[str, Any], compared: bool) -> str:
    """Tokens a second, and where it means anything how many times as many ours are as the row's."""
    lines = [
        f"{job['job']}: {job['model']} with {job['weights']} weights, {job['requests']} requests, "
        f"{job['input_tokens']:,} tokens in, {job['output_tokens']:,} out",
        f"{'':{WIDE}}{'output tok/s':>13}{'seconds':>9}{'roofline':>10}{'ours / its':>12}{'load s':>8}  clocks",
    ]
    speeds = {row["contender"]: row.get("output_tokens_per_s") for row in job["rows"]}
    ours = speeds.get("costadvisor")
    for row in job["rows"]:
        speed = row.get("output_tokens_per_s")
        if speed is None:
            lines.append(f"{row['contender']:{WIDE}}  {row.get('unsupported') or _one_line(row['failed'])}")
            continue
        part = "" if row["requests"] == job["requests"] else f" (the first {row['requests']} requests)"
        share = _or_unknown(row["roofline_share"] if compared else None, ".1%")
        ratio = _or_unknown(ours / speed if ours and compared else None, ".2f")
        lines.append(
            f"{row['contender']:{WIDE}}{speed:13,.1f}{row['seconds']:9.2f}{share:>10}"
            f"{ratio:>12}{row['load_s'] + row['warm_up_s']:8.1f}"
            f"{_clocks(row['gpu'])}{part}"
        )
    return "\n".join(lines)


def _clocks(seen: dict[str, Any]) -> str:
    if "samples" not in seen:
        return "  unknown"
    held = f", throttled {seen['throttled_share']:.0%} by {' '.join(seen['throttled_by'])}" * bool(seen["throttled_by"])
    return f"  {seen['sm_clock_mhz']} MHz, {seen['power_w']} W, {seen['temperature_c']} °C{held}"


def _failed(part: dict[str, Any]) -> str:
    return f" ({_one_line(part['failed'])})" if part["failed"] else ""


def _one_line(failure: str | None) -> str:
    """The last line of a trace says what it was."""
    return (failure or "said nothing").strip().splitlines()[-1][:160]


def _or_unknown(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
