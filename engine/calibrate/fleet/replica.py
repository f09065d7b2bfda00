"""A replica of a fleet: its simulated engine, who is on it, and how far its own time has come."""

import math
from dataclasses import dataclass

from engine.calibrate.fleet.ask import ReplicaModel
from engine.calibrate.fleet.tally import Tally
from engine.calibrate.simulator import SimulatedBackend
from engine.calibrate.workload import Lengths
from engine.request import Request, State


@dataclass(slots=True)
class Sent:
    """A request on its way; `first_s` is when its first token came, of the last attempt in which one did."""

    at_s: float
    lengths: Lengths
    first_s: float = 0.0


class Replica:
    """Serves what it is sent. Its steps are simulated no sooner than somebody asks, and by then all that began."""

    def __init__(self, model: ReplicaModel, tally: Tally, asked_s: float, ready_s: float) -> None:
        self.asked_s = asked_s
        self.ready_s = ready_s
        self.draining = False
        self.gone = False
        self.live: dict[Request, Sent] = {}
        self.due_s = math.inf  # until then nobody starts or leaves, if nobody comes
        self._backend = SimulatedBackend(model.config, model.step_ms)
        self._waiting = self._backend.scheduler.waiting
        self._tally = tally
        self._unanswered: set[Request] = set()  # of those that are live
        self._left = 0  # with the last step
        self._backend.wait_until(ready_s)

    @property
    def clock_s(self) -> float:
        return self._backend.clock_s

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def outstanding(self, at: float) -> int:
        """Who is on it at a time that `settle` has been asked for; a step that is still under way has ended nobody."""
        return len(self.live) + (self._left if self._backend.clock_s > at else 0)

    def take(self, at: float, sent: Sent) -> None:
        """A request comes; a step that began before it goes on without it."""
        self.catch_up(at)
        backend = self._backend
        backend.wait_until(at)
        self._tally.waited(at, backend.clock_s - at)
        request = backend.submit(sent.lengths)
        self.live[request] = sent
        self._unanswered.add(request)
        self.due_s = backend.clock_s

    def settle(self, at: float) -> None:
        """Simulate far enough to know who is there at a time; steps that change nothing of that are left for later."""
        backend = self._backend
        while self.live and backend.clock_s < at:
            ahead = backend.ahead
            if ahead is not None:
                changes = backend.clock_s + ahead.seconds(ahead.steps)
                if changes > at:
                    self.due_s = changes
                    return
            self._advance(at)
        self.due_s = backend.clock_s if self.live else math.inf

    def catch_up(self, at: float) -> None:
        """Simulate every step that starts before a time."""
        while self.live and self._backend.clock_s < at:
            self._advance(at)

    def _advance(self, until: float) -> None:
        backend, began = self._backend, self._backend.clock_s
        sampled, repeats = backend.advance(until)
        self._tally.worked(began, backend.clock_s - began, len(self._waiting))
        self._left = 0
        if repeats == 1 and self._unanswered:
            for request in [request for request in sampled if request in self._unanswered]:
                self._unanswered.remove(request)
                self.live[request].first_s = backend.clock_s
        for request in sampled:
            if request.state is State.FINISHED:
                self._end(request)

    def _end(self, request: Request) -> None:
        sent = self.live.pop(request)
        self._left += 1
        self._tally.finished(sent.at_s, sent.first_s, self._backend.clock_s, sent.lengths.output)
