"""What waits for the scheduler, in order. Torch-free."""

import heapq
from collections.abc import Iterator

from engine.request import Request, State


def by_priority(request: Request) -> tuple[int, int]:
    """The order in which requests are admitted, and in reverse preempted: by priority, then arrival."""
    return request.priority, request.arrival


class WaitingQueue:
    """Requests by priority, then arrival. A cancelled one stays in the heap until it surfaces, or until half of the
    heap are such; so every operation is O(log n)."""

    def __init__(self) -> None:
        self._heap: list[tuple[tuple[int, int], Request]] = []
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def __iter__(self) -> Iterator[Request]:
        return (request for _, request in self._heap if request.state is State.WAITING)

    @property
    def first(self) -> Request:
        while self._heap[0][1].state is not State.WAITING:
            heapq.heappop(self._heap)
        return self._heap[0][1]

    def push(self, request: Request) -> None:
        heapq.heappush(self._heap, (by_priority(request), request))
        self._waiting += 1

    def pop(self) -> Request:
        request = self.first
        heapq.heappop(self._heap)
        self._waiting -= 1
        return request

    def forget(self, request: Request) -> None:
        """Leave out one that is no longer waiting."""
        self._waiting -= 1
        if len(self._heap) > 2 * self._waiting + 16:
            self._heap = [entry for entry in self._heap if entry[1].state is State.WAITING]
            heapq.heapify(self._heap)
