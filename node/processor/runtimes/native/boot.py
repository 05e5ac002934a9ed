"""Runs inside the native sandbox, first: lends boot.py of the wasm sandbox a socket for its channel, then runs it.

A message to the host begins with its length here, because a stream has no messages; replies are the same.
"""

import os
import sys

# typing takes a tenth of the start-up time.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CHANNEL = int(sys.argv[1])
os.set_inheritable(CHANNEL, False)
_open, _write = os.open, os.write


def _open_channel(path: "Any", *arguments: "Any", **named: "Any") -> int:
    if path != "/job/channel":
        return _open(path, *arguments, **named)
    os.open = _open
    return CHANNEL


def _write_message(descriptor: int, content: "Any") -> int:
    if descriptor != CHANNEL:
        return _write(descriptor, content)
    rest = memoryview(len(content).to_bytes(4, "little") + content)
    while rest:
        rest = rest[_write(descriptor, rest) :]
    return len(content)


os.open, os.write = _open_channel, _write_message
with open("/job/api.py", "rb") as source:  # noqa: PTH123 - pathlib is slow to import
    code = compile(source.read(), "/job/api.py", "exec", dont_inherit=True)
exec(code, {"__name__": "heddle.boot"})  # noqa: S102 - the rest of this very file
