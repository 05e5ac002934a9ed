"""Backpressure by slowing down: a peer that sends more than its rate is simply read later."""

import trio


class TokenBucket:
    """`rate` tokens a second, at most `burst` saved up. One reader takes from it."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._tokens = burst
        self._at_s = trio.current_time()

    async def take(self, cost: float) -> None:
        """Use up `cost` tokens; wait while the bucket is in debt."""
        now_s = trio.current_time()
        self._tokens = min(self._burst, self._tokens + (now_s - self._at_s) * self._rate) - cost
        self._at_s = now_s
        if self._tokens < 0:
            await trio.sleep(-self._tokens / self._rate)
