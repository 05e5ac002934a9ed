"""Length-prefixed msgpack frames between the node and a worker process.

A frame is a u32 length, big-endian, and a msgpack list whose first item is the kind. The length is checked before a
byte of the body is read. Node to worker: `run`, `reply`. Worker to node: `ready`, `progress`, `log`, `checkpoint`,
`call`, `done`.
"""

from __future__ import annotations

from typing import Any

import msgpack

LENGTH_BYTES = 4
FRAME_BYTES_MAX = 48 << 20  # script + input, or output + tape + logs, with room for the rest


class FrameInvalid(ValueError):
    """A frame over the cap, or one that is not a msgpack list starting with a kind."""


def encode_body(*items: Any, bytes_max: int = FRAME_BYTES_MAX) -> bytes:
    """The body of a frame, within the cap."""
    body = bytes(msgpack.packb(list(items)))
    if len(body) > bytes_max:
        raise FrameInvalid(f"frame of {len(body)} bytes, allowed is {bytes_max}")
    return body


def encode_frame(*items: Any, bytes_max: int = FRAME_BYTES_MAX) -> bytes:
    """One frame, ready to write."""
    body = encode_body(*items, bytes_max=bytes_max)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def frame_length(prefix: bytes, bytes_max: int = FRAME_BYTES_MAX) -> int:
    """The body's length from its prefix, within the cap."""
    length = int.from_bytes(prefix, "big")
    if length > bytes_max:
        raise FrameInvalid(f"frame of {length} bytes, allowed is {bytes_max}")
    return length


def decode_body(body: bytes) -> list[Any]:
    """The items of a frame: a list whose first item is a str."""
    try:
        items = msgpack.unpackb(body, strict_map_key=True)
    except (ValueError, msgpack.UnpackException) as error:
        raise FrameInvalid("frame is not msgpack") from error
    if not isinstance(items, list) or not items or not isinstance(items[0], str):
        raise FrameInvalid("frame is not a list that starts with a kind")
    return items
