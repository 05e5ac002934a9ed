"""Checked access to a guest's linear memory.

Pointers and lengths arrive from wasmtime as signed 32-bit numbers and its own `Memory.read` clamps silently; here
they are masked and every range is checked.
"""

from __future__ import annotations

import ctypes

from wasmtime import Memory, Store

MASK_32 = 0xFFFFFFFF


class OutOfBounds(Exception):
    """A range that is not wholly inside the guest's memory."""


class GuestMemory:
    """The memory of one instance. It may move when it grows, so its base is asked for on each access."""

    def __init__(self, store: Store, memory: Memory) -> None:
        self._store = store
        self._memory = memory
        self.moved_bytes = 0  # by all reads and writes so far; host calls are charged by it

    def size(self) -> int:
        """Bytes now; a memory never shrinks, so at the end this is the peak."""
        return self._memory.data_len(self._store)

    def _address(self, pointer: int, length: int) -> int:
        pointer &= MASK_32
        if length < 0 or pointer + length > self.size():
            raise OutOfBounds(f"{length} bytes at {pointer}")
        self.moved_bytes += length
        base = self._memory.data_ptr(self._store)
        return ctypes.addressof(base.contents) + pointer

    def read(self, pointer: int, length: int) -> bytes:
        """A copy of `length` bytes at `pointer`."""
        length &= MASK_32
        if length == 0:
            return b""
        return ctypes.string_at(self._address(pointer, length), length)

    def write(self, pointer: int, content: bytes | bytearray) -> None:
        """Put `content` at `pointer`."""
        if content:
            ctypes.memmove(self._address(pointer, len(content)), bytes(content), len(content))

    def read_u32(self, pointer: int) -> int:
        """A little-endian u32."""
        return int.from_bytes(self.read(pointer, 4), "little")

    def write_u32(self, pointer: int, value: int) -> None:
        """A little-endian u32."""
        self.write(pointer, value.to_bytes(4, "little"))

    def write_u64(self, pointer: int, value: int) -> None:
        """A little-endian u64."""
        self.write(pointer, value.to_bytes(8, "little"))
