"""Sleeping until a moment of the monotonic clock, to about a tenth of a millisecond."""

import asyncio
import time

COARSE_S = 0.005


async def sleep_until(when: float) -> None:
    """asyncio counts in whole milliseconds and wakes up late by up to one; the last few are slept by a thread, which
    the kernel wakes on time."""
    coarse = when - time.monotonic() - COARSE_S
    if coarse > 0:
        await asyncio.sleep(coarse)
    left = when - time.monotonic()
    if left > 0:
        await asyncio.get_running_loop().run_in_executor(None, time.sleep, left)
