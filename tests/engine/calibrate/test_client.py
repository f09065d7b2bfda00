"""The load client against the mock server: what it counts and times, and what it makes of servers that misbehave."""

import asyncio
import statistics
from collections.abc import Iterator
from dataclasses import replace

import pytest

from engine.calibrate.client.levels import TooManyErrors, run_level
from engine.calibrate.client.sender import Sender
from engine.calibrate.client.wire import Failure, Wire
from engine.calibrate.level import LevelLog, LevelSpec
from engine.calibrate.workload import Content, Corpus, Lengths
from engine.errors import InputError
from tests.engine.calibrate.mock_server import Mock, mock_server

SHORT = Lengths(40, 8)
SPREAD = tuple(0.03 * number for number in range(20))


@pytest.fixture(scope="module")
def mock() -> Iterator[Mock]:
    with mock_server() as server:
        yield server


def closed(concurrency: int, window_s: float, lengths: Lengths = SHORT) -> LevelSpec:
    return LevelSpec("L1", "step_map", 1, (lengths,), window_s, 10.0, concurrency=concurrency)


def opened(arrivals: tuple[float, ...], lengths: Lengths = SHORT, limit_s: float = 10.0) -> LevelSpec:
    return LevelSpec("L1", "verification", 1, (lengths,), arrivals[-1], limit_s, arrivals=arrivals)


def wire(mock: Mock, *, chat: bool = False, silence_s: float = 10.0) -> Wire:
    return Wire(mock.address, "chat" if chat else "completions", None, silence_s)


def run(mock: Mock, model: str, spec: LevelSpec, silence_s: float = 9.0, stop_after_s: float = 99.0) -> LevelLog:
    """A level, sent without finding out first what the server takes."""

    async def ran() -> LevelLog:
        stopped = asyncio.Event()
        asyncio.get_running_loop().call_later(stop_after_s, stopped.set)
        async with wire(mock, silence_s=silence_s) as entered:
            return await run_level(Sender(entered, model, "ignore_eos"), spec, stopped, lambda seconds, tokens: None)

    return asyncio.run(ran())


def meet(mock: Mock, model: str | None, *, chat: bool = False) -> Sender:
    async def met() -> Sender:
        async with wire(mock, chat=chat) as entered:
            return await Sender.meet(entered, model)

    return asyncio.run(met())


def test_times_are_those_of_the_server(mock: Mock) -> None:
    """Steps of 10 ms and more; a busy machine delays some requests, and the median of many little."""
    before = len(mock.log())
    log = run(mock, "mock", opened(SPREAD, Lengths(200, 12)))
    served = mock.log()[before:]
    assert [row.output for row in log.requests] == [truth["output"] for truth in served] == [12] * len(SPREAD)
    tpot = [row.tpot_ms or 0 for row in log.requests]
    true_tpot = [(truth["last_s"] - truth["first_s"]) / 11 * 1000 for truth in served]
    assert statistics.median(tpot) == pytest.approx(statistics.median(true_tpot), rel=0.05)
    ttft = [row.ttft_ms(open_loop=False) or 0 for row in log.requests]
    true_ttft = [(truth["first_s"] - truth["arrived_s"]) * 1000 for truth in served]
    assert statistics.median(true_ttft) > 20
    assert statistics.median(ttft) == pytest.approx(statistics.median(true_ttft), rel=0.3)


def test_a_closed_loop_keeps_so_many_outstanding_until_its_window_closes(mock: Mock) -> None:
    log = run(mock, "mock", closed(3, 0.5))
    assert log.complete
    assert log.window is not None
    opened_at, closed_at = log.window
    assert [row.asked for row in log.requests if row.starter] == [2, 5, 8]
    assert opened_at >= max(row.t_first or 99 for row in log.requests if row.starter)
    assert log.duration_s == pytest.approx(closed_at, abs=0.2)
    assert closed_at - opened_at == pytest.approx(0.5)
    cut = [row for row in log.requests if not row.finished]
    assert len(cut) == 3
    events = [(row.t_sent, 1) for row in log.requests] + [(row.t_last or 0, -1) for row in log.requests if row.finished]
    outstanding = [sum(change for at, change in events if at <= moment / 50) for moment in range(5, 25)]
    assert statistics.median(outstanding) == 3
    assert log.client is not None
    assert log.client.output_tokens == pytest.approx(log.itl_gaps_ms.n + len(log.requests) - 6, abs=8)
    assert 0 < log.client.cpu_share < 1


def test_an_open_loop_sends_on_schedule_however_the_server_stalls(mock: Mock) -> None:
    log = run(mock, "mock:stall", opened(SPREAD, limit_s=0.1))
    assert [row.t_sched for row in log.requests] == list(SPREAD)
    late = [row.t_sent - row.t_sched for row in log.requests]
    assert statistics.median(late) < 0.01
    assert min(late) >= 0
    assert log.client is not None
    assert log.client.send_lag_p99_ms == pytest.approx(1000 * max(late))
    assert not any(row.finished for row in log.requests)


def test_a_stop_ends_a_level_at_once(mock: Mock) -> None:
    log = run(mock, "mock", closed(2, 60.0), stop_after_s=0.3)
    assert not log.complete
    assert log.duration_s == pytest.approx(0.3, abs=0.25)
    assert log.window is not None
    assert log.window[1] == log.duration_s


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("http429", "HTTP 429: .*too many requests"),
        ("http500", "HTTP 500: .*an internal error"),
        ("redirect", "HTTP 307: to http://127.0.0.1:1/v1/completions; redirects are not followed"),
        ("html", "not an event stream: the content type is text/html"),
        ("stall", "silence: nothing came for 0.3 s"),
        ("garbage", "garbage: an event is not JSON: {not JSON"),
        ("shape", "garbage: an event of another shape"),
        ("error", "error in the stream: .*in the middle"),
        ("cut", "(stream cut|connection lost)"),
        ("ended", "stream cut: it ended before the answer did"),
    ],
)
def test_a_level_of_nothing_but_errors_says_which(mock: Mock, fault: str, reason: str) -> None:
    with pytest.raises(TooManyErrors, match=f"5 of 5 requests failed .*5 × .*; the last: {reason}"):
        run(mock, f"mock:{fault}", opened(tuple(0.01 * number for number in range(8))), silence_s=0.3)


def test_a_few_errors_are_counted_as_misses(mock: Mock) -> None:
    log = run(mock, "mock:http500/6", opened(SPREAD))
    assert log.client is not None
    assert log.client.errors == {"HTTP 500": 3}
    assert [number for number, row in enumerate(log.requests, start=1) if not row.finished] == [6, 12, 18]


def test_a_closed_loop_does_not_flood_a_server_that_refuses(mock: Mock) -> None:
    before = len(mock.log())
    with pytest.raises(TooManyErrors, match="HTTP 429"):
        run(mock, "mock:http429", closed(2, 5.0))
    assert len(mock.log()) == before, "nothing was taken"


def test_several_tokens_in_an_event_are_counted_by_the_usage_and_give_no_gaps(mock: Mock) -> None:
    log = run(mock, "mock:pairs", opened(SPREAD[:5], Lengths(40, 9)))
    assert [row.output for row in log.requests] == [9] * 5
    assert log.itl_gaps_ms.n == 0
    log = run(mock, "mock:pairs", closed(2, 0.4))
    assert log.client is not None
    alone = 0.4 / 0.011 * 2
    assert 0.5 * alone < log.client.output_tokens <= alone, "as many as came, not half of them"


@pytest.mark.parametrize(("fault", "tokens"), [("closing", 8), ("no_usage", 8), ("short", 4)])
def test_tokens_are_counted_as_the_server_means_them(mock: Mock, fault: str, tokens: int) -> None:
    log = run(mock, f"mock:{fault}", opened((0.0, 0.5)))
    assert [(row.finished, row.asked, row.output) for row in log.requests] == [(True, 8, tokens)] * 2
    assert log.itl_gaps_ms.n >= tokens - 2
    tpot = statistics.median(row.tpot_ms or 0 for row in log.requests)
    assert tpot == pytest.approx(10.5, rel=0.2)


@pytest.mark.parametrize(
    ("model", "chat", "form", "option"),
    [
        (None, False, "ids", "ignore_eos"),
        ("mock:no_ids", False, "words", "ignore_eos"),
        ("mock:no_options", False, "ids", ""),
        ("mock", True, "words", "ignore_eos"),
    ],
)
def test_what_a_server_takes_is_found_out(mock: Mock, model: str | None, chat: bool, form: str, option: str) -> None:
    sender = meet(mock, model, chat=chat)
    assert sender.describe() == {"model": model or "mock", "prompts": form, "length_option": option}

    async def ran() -> LevelLog:
        async with wire(mock, chat=chat) as entered:
            sender.wire = entered
            return await run_level(sender, opened((0.0,), Lengths(100, 3)), asyncio.Event(), lambda *progress: None)

    (row,) = asyncio.run(ran()).requests
    assert (row.finished, row.input, row.output) == (True, 100, 3)


def test_prompts_are_never_sent_twice(mock: Mock) -> None:
    """The mock has a prefix cache, in which the same level again would find itself."""
    spec = opened((0.0, 0.1), Lengths(200, 2))
    cached = [row.cached for _ in range(2) for row in run(mock, "mock", spec).requests]
    assert cached == [0, 0, 0, 0]


@pytest.mark.parametrize("chat", [False, True])
def test_prompts_share_what_a_workload_wants_shared(mock: Mock, chat: bool) -> None:
    """The mock finds whole blocks of 64 tokens; a chat begins with its template, after which blocks end elsewhere."""
    spec = replace(opened((0.0, 0.1, 0.2, 0.3), Lengths(400, 1)), content=Content(prefix_share=0.5))
    sender = meet(mock, "mock", chat=chat)

    async def ran() -> LevelLog:
        async with wire(mock, chat=chat) as entered:
            sender.wire = entered
            return await run_level(sender, spec, asyncio.Event(), lambda *progress: None)

    rows = asyncio.run(ran()).requests
    assert [row.input for row in rows] == [400] * 4
    assert sum(row.cached for row in rows) / 1600 == pytest.approx(0.5, abs=0.05 if not chat else 0.17)


def test_a_text_of_ones_own_is_refused(mock: Mock) -> None:
    spec = replace(opened((0.0,)), content=Content(corpus=Corpus("book.txt", "0" * 64)))
    with pytest.raises(InputError, match="leave text out of the workload"):
        run(mock, "mock", spec)


def test_a_server_that_refuses_everything_is_quoted(mock: Mock) -> None:
    with pytest.raises(InputError, match=r"refuses every form of request for the model 'gpt'; .*HTTP 400: .*not exist"):
        meet(mock, "gpt")
    with pytest.raises(Failure, match="HTTP 500"):
        meet(mock, "mock:http500")
