"""Errors of JSON-RPC: codes, and one class that carries them to the client.

    RpcError
    └── InvalidParams     -32602, naming the parameter

Codes below -32000 are JSON-RPC's and jsonrpsee's (what Substrate nodes send); those from 1001 are Substrate's for
extrinsics (spec/chain.md (g)).
"""

from typing import Any

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
SERVER_ERROR = -32000
TOO_MANY_SUBSCRIPTIONS = -32006
OVERSIZED_RESPONSE = -32008
BATCH_TOO_LARGE = -32010
BATCH_RESPONSE_TOO_LARGE = -32011

EXTRINSIC_UNDECODABLE = 1001
EXTRINSIC_VERIFICATION = 1002
EXTRINSIC_INVALID = 1010
EXTRINSIC_UNKNOWN_VALIDITY = 1011
EXTRINSIC_BANNED = 1012
EXTRINSIC_ALREADY_IMPORTED = 1013
EXTRINSIC_PRIORITY_TOO_LOW = 1014
EXTRINSIC_DROPPED = 1016
EXTRINSIC_FUTURE_REJECTED = 1021
STATE_DISCARDED = 4001
"""The state of that block was pruned."""


class RpcError(Exception):
    """An answer that is an error: `code`, `message` and, if not None, `data` go to the client as they are."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data

    def as_json(self) -> dict[str, Any]:
        """The `error` member of a response."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.data is not None:
            error["data"] = self.data
        return error


class InvalidParams(RpcError):
    """A parameter is missing, unknown or of the wrong form."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(INVALID_PARAMS, f"Invalid params: {name}: {why}", {"parameter": name, "reason": why})
        self.name = name
        self.why = why


def method_not_found(name: str) -> RpcError:
    """The error for a method that does not exist here; the name comes from the client and is cut."""
    return RpcError(METHOD_NOT_FOUND, "Method not found", name[:128])


def method_unsafe() -> RpcError:
    """The error for an unsafe method called from outside, with Substrate's words."""
    return RpcError(METHOD_NOT_FOUND, "RPC call is unsafe to be called externally")
