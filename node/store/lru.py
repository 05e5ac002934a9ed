"""Caches with a named bound: least recently used by weight, and two plain ones for hot paths."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from itertools import islice
from typing import Generic, TypeVar

Value = TypeVar("Value")


class WeightedCache(Generic[Value]):
    """Keeps what was used last, as long as the weights given add up to at most `weight_max`."""

    def __init__(self, weight_max: int) -> None:
        self.weight_max = weight_max
        self.weight = 0
        self._items: OrderedDict[bytes, tuple[int, Value]] = OrderedDict()

    def get(self, key: bytes) -> Value | None:
        """The value, which counts as used, or None."""
        item = self._items.get(key)
        if item is None:
            return None
        self._items.move_to_end(key)
        return item[1]

    def put(self, key: bytes, value: Value, weight: int) -> None:
        """Keep `value`, drop the least recently used; what is heavier than the bound is not kept."""
        self.drop(key)
        if weight > self.weight_max:
            return
        self._items[key] = (weight, value)
        self.weight += weight
        while self.weight > self.weight_max:
            _, (dropped, _) = self._items.popitem(last=False)
            self.weight -= dropped

    def drop(self, key: bytes) -> None:
        """Forget one key, kept or not."""
        item = self._items.pop(key, None)
        if item is not None:
            self.weight -= item[0]

    def clear(self) -> None:
        """Forget everything."""
        self._items.clear()
        self.weight = 0

    def __len__(self) -> int:
        return len(self._items)


class HashCache(dict[bytes, bytes]):
    """storage key -> key hash, computed on the first use: `cache[key]` is one dictionary look-up afterwards.

    At `entries_max` the older half goes: cheaper than keeping an order on every hit.
    """

    def __init__(self, function: Callable[[bytes], bytes], entries_max: int) -> None:
        super().__init__()
        self._function = function
        self._entries_max = entries_max

    def __missing__(self, key: bytes) -> bytes:
        if len(self) >= self._entries_max:
            for old in list(islice(self, self._entries_max // 2)):
                # Another thread may have been here first.
                self.pop(old, None)
        result = self[key] = self._function(key)
        return result
