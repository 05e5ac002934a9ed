"""Methods: the table of what clients may call, and how parameters of a request reach a function.

A method is an async function; its own signature is the signature of the RPC, by position or by name. A parameter with a
default is optional, and null means the default. Values arrive as JSON and are decoded in the method, by
`node.rpc.params`.
"""

import inspect
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from node.rpc.errors import InvalidParams

Json = Any
Function = Callable[..., Awaitable[Json]]

REQUIRED = inspect.Parameter.empty


@dataclass(frozen=True, slots=True)
class Method:
    """One entry. `push` is None for a plain call; for a subscription it is the name of its notifications."""

    name: str
    function: Function
    parameters: tuple[tuple[str, Any], ...]
    unsafe: bool = False
    push: str | None = None
    unsubscribes: str | None = None

    def arguments(self, params: Json) -> list[Json]:
        """The arguments in order, from the `params` of a request (None, a list or an object); or InvalidParams."""
        if params is None:
            params = []
        if isinstance(params, list):
            return self._by_position(params)
        if isinstance(params, dict):
            return self._by_name(params)
        raise InvalidParams("params", "must be a list or an object")

    def _by_position(self, params: list[Json]) -> list[Json]:
        extra = len(params) - len(self.parameters)
        if extra > 0:
            if any(value is not None for value in params[-extra:]):
                raise InvalidParams("params", f"has {len(params)} values, at most {len(self.parameters)}")
            params = params[:-extra]
        given = iter(params)
        return [_or_default(name, default, next(given, None)) for name, default in self.parameters]

    def _by_name(self, params: dict[str, Json]) -> list[Json]:
        known = {name for name, _ in self.parameters}
        for name in params:
            if name not in known:
                raise InvalidParams(name[:64], "is no parameter of this method")
        return [_or_default(name, default, params.get(name)) for name, default in self.parameters]


def _or_default(name: str, default: Json, value: Json) -> Json:
    if value is not None:
        return value
    if default is REQUIRED:
        raise InvalidParams(name, "is missing")
    return default


class Methods:
    """The registry. Names are fixed before the server starts; a name registered twice is a mistake in the program."""

    def __init__(self) -> None:
        self._methods: dict[str, Method] = {}

    def register(self, name: str, function: Function, *, aliases: Sequence[str] = (), unsafe: bool = False) -> None:
        """Adds a plain method under `name` and its aliases. Unsafe ones are refused to callers from outside."""
        method = Method(name, function, _parameters(function, skip=0), unsafe)
        for each in (name, *aliases):
            self._add(each, method)

    def register_subscription(
        self,
        subscribe: str,
        unsubscribe: str,
        push: str,
        function: Function,
        *,
        aliases: Sequence[tuple[str, str]] = (),
        unsafe: bool = False,
    ) -> None:
        """Adds a subscription and its unsubscribe, always as a pair: clients look for both.

        `function(subscription, ...)` checks its parameters, hooks the subscription up and returns; its result is not
        used. What it pushes at once follows the answer with the id. `push` is the method of the notifications.
        """
        method = Method(subscribe, function, _parameters(function, skip=1), unsafe, push)
        ending = Method(unsubscribe, _no_function, (("subscription", REQUIRED),), unsafe, unsubscribes=subscribe)
        for start, stop in ((subscribe, unsubscribe), *aliases):
            self._add(start, method)
            self._add(stop, ending)

    def find(self, name: str) -> Method | None:
        """The method of that name or alias."""
        return self._methods.get(name)

    def names(self) -> list[str]:
        """All names and aliases, sorted: the answer to rpc_methods."""
        return sorted(self._methods)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def _add(self, name: str, method: Method) -> None:
        if name in self._methods:
            raise ValueError(f"RPC method {name} is registered twice")
        self._methods[name] = method


async def _no_function() -> None:
    """Unsubscribing is done by the connection that holds the subscription."""


def _parameters(function: Function, skip: int) -> tuple[tuple[str, Any], ...]:
    """Names and defaults of a function's parameters; `hash_` is the parameter `hash`."""
    parameters = list(inspect.signature(function).parameters.values())[skip:]
    for parameter in parameters:
        if parameter.kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD:
            raise ValueError(f"RPC method {function}: parameter {parameter.name} must be a plain one")
    return tuple((parameter.name.rstrip("_"), parameter.default) for parameter in parameters)
