"""The registry of methods: names, aliases, and mistakes that show when the node starts."""

from typing import Any

import pytest

from node.rpc.methods import Methods
from node.rpc.subscription import Subscription


async def plain(hash_: Any = None) -> None:
    """A method."""


async def subscribe(subscription: Subscription, keys: Any = None) -> None:
    """A subscription."""


def test_names_come_in_pairs_and_sorted() -> None:
    """Aliases are listed too, and each subscription with its unsubscribe: clients look for both in rpc_methods."""
    methods = Methods()
    methods.register("chain_getHead", plain, aliases=["chain_getBlockHash"])
    methods.register_subscription("x_subscribe", "x_unsubscribe", "x", subscribe, aliases=[("a_sub", "a_unsub")])
    assert methods.names() == [
        "a_sub",
        "a_unsub",
        "chain_getBlockHash",
        "chain_getHead",
        "x_subscribe",
        "x_unsubscribe",
    ]
    assert list(methods) == methods.names()
    assert methods.find("chain_getBlockHash") is methods.find("chain_getHead")
    assert methods.find("nothing") is None


def test_parameter_names() -> None:
    """A parameter's trailing underscore is not part of its name; the subscription is no parameter."""
    methods = Methods()
    methods.register("plain", plain)
    methods.register_subscription("s", "u", "p", subscribe)
    names = {
        name: [parameter for parameter, _ in method.parameters] for name in methods if (method := methods.find(name))
    }
    assert names == {"plain": ["hash"], "s": ["keys"], "u": ["subscription"]}


def test_a_name_is_registered_once() -> None:
    """A second method under a name, alias or unsubscribe is a mistake that shows at once."""
    methods = Methods()
    methods.register("a", plain, aliases=["b"])
    for name in ("a", "b"):
        with pytest.raises(ValueError, match=f"{name} is registered twice"):
            methods.register(name, plain)
    with pytest.raises(ValueError, match="b is registered twice"):
        methods.register_subscription("s", "b", "p", subscribe)


def test_only_plain_parameters() -> None:
    """A function with *args or keyword-only parameters cannot be called by JSON-RPC and is not taken."""

    async def many(*values: Any) -> None: ...

    async def keyword(*, value: Any) -> None: ...

    for function in (many, keyword):
        with pytest.raises(ValueError, match="must be a plain one"):
            Methods().register("x", function)
