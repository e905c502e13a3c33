"""How often somebody may try to sign in."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable

TRIES = 5
# A whole office may stand behind one address, and sign in at nine o'clock together.
TRIES_OF_ADDRESS = 50
PER_S = 60.0
# An attacker who invents names must not fill the memory.
KEPT_KEYS = 10_000


class Tries:
    """Counts failures by key on a monotonic clock, so that setting the clock back frees nobody."""

    def __init__(self, tries: int = TRIES, per_s: float = PER_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._tries = tries
        self._per_s = per_s
        self._clock = clock
        self._failed: OrderedDict[str, deque[float]] = OrderedDict()

    def _recent(self, key: str) -> deque[float]:
        times = self._failed.get(key, deque())
        while times and self._clock() - times[0] >= self._per_s:
            times.popleft()
        return times

    def exhausted(self, *keys: str) -> bool:
        """Whether any of these has used up its tries."""
        return any(len(self._recent(key)) >= self._tries for key in keys)

    def take(self, *keys: str) -> None:
        """Count a try against each of these."""
        for key in keys:
            times = self._recent(key)
            times.append(self._clock())
            self._failed[key] = times
            self._failed.move_to_end(key)
        while len(self._failed) > KEPT_KEYS:
            self._failed.popitem(last=False)

    def forget(self, key: str) -> None:
        """Clear the count of an account whose password was right."""
        self._failed.pop(key, None)

    def give_back(self, key: str) -> None:
        """Take one try back, and no more: with one's own account nobody shall clear the count of an address."""
        if times := self._failed.get(key):
            times.pop()
