"""The fleet's clock: arrivals, and between them replicas that become ready, are lost, are asked for or given back."""

import heapq
import itertools
from collections import deque
from collections.abc import Callable
from functools import partial

import numpy as np

from engine.calibrate.fleet.arrivals import Traffic
from engine.calibrate.fleet.ask import FleetAsk, ReplicaModel
from engine.calibrate.fleet.autoscaling import TICK_S, Autoscaler
from engine.calibrate.fleet.replica import Replica, Sent
from engine.calibrate.fleet.router import ROUTERS
from engine.calibrate.fleet.tally import Tally
from engine.calibrate.fleet.timeline import HOUR_S

DRAIN_S = HOUR_S  # after the last arrival; who has not finished by then never does

Event = Callable[[float], None]


class Simulation:
    """One run. A request that finds no ready replica waits for one; one whose replica is lost is sent again."""

    def __init__(
        self, model: ReplicaModel, ask: FleetAsk, traffic: Traffic, progress: Event = lambda share: None
    ) -> None:
        """`progress` is told with each hour what share of the time is over."""
        self.model = model
        self.ask = ask
        self.traffic = traffic
        self.progress = progress
        self.tally = Tally(traffic.timeline, model.slo)
        self.router = ROUTERS[ask.router](ask.seed)
        self.replicas: list[Replica] = []  # asked for and not gone
        self.ready: list[Replica] = []  # those that may be sent requests
        self.held: deque[tuple[float, Sent]] = deque()  # while none is ready, with since when
        self.end_s = traffic.timeline.end_s
        self._agenda: list[tuple[float, int, Event]] = []
        self._order = itertools.count()
        self._rng = np.random.default_rng([ask.seed, 3])
        self._arrivals = 0  # since the last tick

    def run(self) -> Tally:
        for _ in range(self.ask.replicas):
            self._ask_for_one(0.0, 0.0)
        if self.ask.autoscaling is not None:
            one_replica = self.model.plan_requests_per_s / (1 + self.ask.headroom)
            self._at(TICK_S, partial(self._tick, Autoscaler(self.ask.autoscaling, one_replica, self.ask.replicas)))
        for hour in range(1, self.traffic.timeline.hours):
            self._at(hour * self.traffic.timeline.segment_s, lambda at: self.progress(at / self.end_s))
        for at, lengths in self.traffic.arrivals():
            self._pass(at)
            self._arrive(at, Sent(at, lengths))
        self._pass(self.end_s)
        self._drain()
        return self.tally

    def _arrive(self, at: float, sent: Sent) -> None:
        self._arrivals += 1
        self._settle(at)
        waiting = len(self.held) + sum([replica.waiting for replica in self.replicas])
        overflows = self.ask.overflow_queue is not None and waiting >= self.ask.overflow_queue
        self.tally.arrived(at, waiting=waiting, overflows=overflows)
        if not overflows:
            self._send(at, sent)

    def _send(self, at: float, sent: Sent) -> None:
        if self.ready:
            self.router.pick(self.ready, at).take(at, sent)
        else:
            self.held.append((at, sent))

    def _settle(self, at: float) -> None:
        for replica in self.replicas:
            if replica.due_s < at:
                replica.settle(at)

    def _pass(self, at: float) -> None:
        """Let everything happen that is due by a time."""
        while self._agenda and self._agenda[0][0] <= at:
            when, _, event = heapq.heappop(self._agenda)
            self._settle(when)
            event(when)

    def _at(self, when: float, event: Event) -> None:
        heapq.heappush(self._agenda, (when, next(self._order), event))

    def _ask_for_one(self, at: float, delay_s: float) -> None:
        replica = Replica(self.model, self.tally, at, at + delay_s)
        self.replicas.append(replica)
        if delay_s:
            self._at(at + delay_s, lambda when: self._serve(when, replica))
        else:
            self._serve(at, replica)

    def _serve(self, at: float, replica: Replica) -> None:
        """It is ready, unless it was given back meanwhile."""
        if replica.gone:
            return
        self.ready.append(replica)
        if self.ask.spot_losses_per_hour:
            lives_s = self._rng.exponential(HOUR_S / self.ask.spot_losses_per_hour)
            self._at(at + lives_s, lambda when: self._lose(when, replica))
        while self.held:
            since, sent = self.held.popleft()
            self.tally.waited(since, at - since)
            self._send(at, sent)

    def _lose(self, at: float, replica: Replica) -> None:
        """It is gone with the step it is in; another is asked for, unless this one was being given back."""
        if replica.gone:
            return
        replica.catch_up(at)
        self.tally.lost_replicas += 1
        self._leave(replica, max(at, replica.clock_s))
        if not replica.draining:
            self._ask_for_one(at, self.ask.scale_up_delay_s)
        for sent in replica.live.values():
            self.tally.resent(sent.at_s)
            self._send(at, sent)

    def _tick(self, scaler: Autoscaler, at: float) -> None:
        for replica in [replica for replica in self.replicas if replica.draining and not replica.live]:
            self._leave(replica, replica.clock_s)
        staying = [replica for replica in self.replicas if not replica.draining]
        outstanding = bool(self.held) or any(replica.live for replica in staying)
        wanted = scaler.wanted(at, self._arrivals, len(staying), outstanding=outstanding)
        self._arrivals = 0
        for _ in range(wanted - len(staying)):
            self._ask_for_one(at, self.ask.scale_up_delay_s)
        for replica in staying[wanted:]:
            self._give_back(replica, at)
        if at + TICK_S <= self.end_s:
            self._at(at + TICK_S, partial(self._tick, scaler))

    def _give_back(self, replica: Replica, at: float) -> None:
        """Nobody is sent to it any more, and it goes when the last has left it."""
        replica.draining = True
        if replica in self.ready:
            self.ready.remove(replica)
        if not replica.live:
            self._leave(replica, at)

    def _leave(self, replica: Replica, at: float) -> None:
        replica.gone = True
        self.replicas.remove(replica)
        if replica in self.ready:
            self.ready.remove(replica)
        self.tally.served(replica.asked_s, replica.ready_s, at, max(at, replica.asked_s + self.ask.min_billing_s))

    def _drain(self) -> None:
        """Let everybody finish who can; what happens after the end is neither billed nor scaled."""
        until = self.end_s + DRAIN_S
        while self._agenda and (self.held or any(replica.live for replica in self.replicas)):
            if self._agenda[0][0] > until:
                break
            self._pass(self._agenda[0][0])
        for replica in list(self.replicas):
            replica.catch_up(until)
            self._leave(replica, max(self.end_s, replica.clock_s))
