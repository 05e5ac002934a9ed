"""Runs inside the sandbox: makes the module `heddle`, loads the script, calls its entry point, hands out its result.

Every call goes through one device file; see `CallChannel` in calls.py for the form of its messages. This file is part
of the host interface: a change of it changes fuel, so it means a new HOST_ABI.
"""

import os
import sys

# json, traceback and typing are compiled from source at each start: they are imported only by what needs them.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any, NoReturn

_channel = os.open("/job/channel", os.O_RDWR)


class HostError(Exception):
    """A call that the host answered with an error: a bad argument, or a request that got no answer."""


class FetchReply:
    """The answer to a fetch: `status`, `headers` (dict, names in lower case), `body` (bytes)."""

    def __init__(self, message: bytes) -> None:
        """Read the message form of grants.py."""
        head, _, self.body = message.partition(b"\n\n")
        lines = head.decode().split("\n")
        self.status = int(lines[0])
        self.headers = dict(line.split(": ", 1) for line in lines[1:])

    def text(self) -> str:
        """The body as UTF-8."""
        return self.body.decode()

    def json(self) -> "Any":
        """The body as JSON."""
        import json

        return json.loads(self.body)


def _read(length: int) -> bytes:
    parts = []
    while length > 0:
        part = os.read(_channel, length)
        if not part:
            break
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _call(name: str, body: bytes = b"") -> bytes | None:
    raw = name.encode()
    os.write(_channel, bytes([len(raw)]) + raw + body)
    result = int.from_bytes(_read(4), "little", signed=True)
    if result >= 0:
        return _read(result)
    text = _read(-1 - result).decode()
    if text:
        raise HostError(text)
    return None


def _bytes(value: bytes | bytearray | str) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


def _key(value: bytes | str) -> bytes:
    return _bytes(value)


def fetch(url: str, method: str = "GET", headers: dict[str, str] | None = None, body: bytes | str = b"") -> FetchReply:
    """Ask `url`; HostError if there is no answer. Needs the fetch capability for its host."""
    lines = [f"{method} {url}", *(f"{name}: {value}" for name, value in (headers or {}).items())]
    reply = _call("fetch", "\n".join(lines).encode() + b"\n\n" + _bytes(body))
    return FetchReply(reply or b"")


def storage_set(key: bytes | str, value: bytes | str) -> None:
    """Keep a value for this run. Needs the storage capability."""
    raw = _key(key)
    _call("storage.set", len(raw).to_bytes(4, "little") + raw + _bytes(value))


def fail(code: int, message: str = "") -> "NoReturn":
    """End the run as AppError(code), code 1..255."""
    _call("fail", f"{code} {message}".encode())
    raise SystemExit(code)


def _pairs(call: str) -> dict[str, str]:
    """A reply of `name NUL value NUL ...` as a dict."""
    items = (_call(call) or b"").decode().split("\0")
    return dict(zip(items[0:-1:2], items[1::2], strict=True))


def _job() -> "dict[str, Any]":
    raw = _pairs("job")
    return {name: value if name == "id" else int(value) for name, value in raw.items()}


def _attribute(api: "Any") -> "Callable[[str], Any]":
    """`heddle.job`, read when it is asked for: a script that does not look at its slot uses the same fuel on each."""

    def attribute(name: str) -> "Any":
        if name != "job":
            raise AttributeError(f"module 'heddle' has no attribute {name!r}")
        api.job = _job()
        return api.job

    return attribute


def _module() -> "ModuleType":
    api: Any = type(sys)("heddle")
    api.HostError, api.FetchReply = HostError, FetchReply
    api.input = lambda: _call("input") or b""
    api.output = lambda content: _call("output", _bytes(content)) and None
    api.env = _pairs("environment")
    api.__getattr__ = _attribute(api)
    api.fetch = fetch
    api.storage_get = lambda key: _call("storage.get", _key(key))
    api.storage_set = storage_set
    api.storage_delete = lambda key: _call("storage.delete", _key(key)) and None
    api.progress = lambda percent, note="": _call("progress", f"{int(percent)} {note}".encode()) and None
    api.log = lambda text: _call("log", str(text).encode()) and None
    api.checkpoint = lambda content: _call("checkpoint", _bytes(content)) and None
    api.restore = lambda: _call("restore")
    api.now = lambda: int(_call("now") or b"0")
    api.random = lambda length: _call("random", str(length).encode()) or b""
    api.sign = lambda content: _call("sign", _bytes(content)) or b""
    api.fail = fail
    module: ModuleType = api
    return module


def _put_result(result: "Any") -> None:
    if result is None:
        return
    if not isinstance(result, bytes | bytearray | str):
        import json

        result = json.dumps(result, separators=(",", ":"), ensure_ascii=False)
    _call("output", _bytes(result))


def _ended(kind: str, error: BaseException) -> None:
    import traceback

    text = "".join(traceback.format_exception(error, limit=-8))
    _call("log", text[-4000:].encode(errors="replace"))
    _call("runtime.failed", f"{kind} {type(error).__name__}: {error}"[:500].encode(errors="replace"))


def main() -> None:
    """Load, call, hand out; every way to fail has its typed end."""
    heddle = sys.modules["heddle"] = _module()
    script = type(sys)("__main__")
    script.__dict__.update(__file__="/job/script.py", heddle=heddle)
    sys.modules["__main__"] = script
    try:
        code = compile(_call("script") or b"", "/job/script.py", "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        return _ended("invalid", error)
    try:
        exec(code, script.__dict__)  # noqa: S102 - this is the script, and here is its sandbox
        entrypoint = (_call("entrypoint") or b"").decode()
        function = script.__dict__.get(entrypoint)
        if not callable(function):
            return _ended("invalid", NameError(f"the script defines no function {entrypoint}"))
        _put_result(function(heddle))
    except SystemExit as error:
        code_given = error.code if isinstance(error.code, int) else int(error.code is not None)
        if code_given:
            _call("fail", f"{code_given & 255 or 1} exit".encode())
    except MemoryError:
        script.__dict__.clear()
        _call("runtime.failed", b"memory MemoryError")
    except RecursionError as error:
        _ended("stack", error)
    except BaseException as error:  # noqa: BLE001 - the supervisor of the script
        _ended("app", error)


main()
sys.stdout.flush()
