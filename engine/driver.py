"""Steps an engine on a thread of its own, as long as there is something to do. Torch-free."""

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)


class Driver:
    """Started by `wake()`, gone when idle: an engine that nobody uses keeps no thread, and needs no closing.

    `step()` ends all requests itself when it fails, and tells those who wait for them.
    """

    def __init__(self, step: Callable[[], object], idle: Callable[[], bool]) -> None:
        self._step = step
        self._idle = idle
        self._lock = threading.Lock()  # so that no request slips in between the last look and the end of the thread
        self._running = False

    def wake(self) -> None:
        """See to it that what was added before this call is computed."""
        with self._lock:
            if not self._running:
                self._running = True
                threading.Thread(target=self._drive, name="engine", daemon=True).start()

    def _drive(self) -> None:
        while not self._done():
            try:
                self._step()
            except Exception:
                log.exception("a step failed, and with it all requests that were under way")

    def _done(self) -> bool:
        with self._lock:
            self._running = not self._idle()
            return not self._running
