"""state_* and payment_*: storage, metadata, runtime versions, proofs, runtime calls."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from node.chain import Chain
from node.events import Imported
from node.rpc.api.chain_api import hexed
from node.rpc.errors import STATE_DISCARDED, InvalidParams, RpcError
from node.rpc.methods import Methods
from node.rpc.params import block_hash, hex_bytes, hex_list, integer, text
from node.rpc.subscription import Subscription
from node.store.errors import StateDiscarded, UnknownBlock
from node.store.reader import KEYS_PAGE_MAX, StateReader
from runtime.extrinsic import EXTRINSIC_BYTES_MAX, Extrinsic
from runtime.hashing import blake2b256
from runtime.heddle import SPEC_NAME, Heddle
from runtime.metadata import metadata_v14
from runtime.proof import encode_proofs
from runtime.scale import U128, ScaleError, codec_of
from runtime.scale.codec import byte_string, encode_compact
from runtime.weight import BASE_EXTRINSIC_PS, Weight

KEY_BYTES_MAX = 4096
ARGUMENTS_BYTES_MAX = EXTRINSIC_BYTES_MAX + 64
UNKNOWN_BLOCK = 4003
METADATA_VERSIONS = (14,)
APIS = {"Core": 5, "Metadata": 2, "BlockBuilder": 6, "TaggedTransactionQueue": 3, "AccountNonceApi": 1}
APIS |= {"TransactionPaymentApi": 4, "AuraApi": 1, "GrandpaApi": 3}


def api_hash(name: str) -> bytes:
    """blake2b-64 of a runtime API's name, by which clients recognise it."""
    from hashlib import blake2b

    return blake2b(name.encode(), digest_size=8).digest()


def version_json(spec: int, transaction_version: int) -> dict[str, Any]:
    """state_getRuntimeVersion's answer."""
    return {
        "specName": SPEC_NAME,
        "implName": "heddle-python",
        "authoringVersion": 1,
        "specVersion": spec,
        "implVersion": 1,
        "apis": [[hexed(api_hash(name)), version] for name, version in APIS.items()],
        "transactionVersion": transaction_version,
        "stateVersion": 1,
    }


class StateApi:
    """Answers about state. Without a block hash the best block is meant."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self._runtime = chain.new_runtime()
        self._metadata: dict[int, bytes] = {}
        self._calls: dict[str, Callable[[Heddle, bytes], bytes]] = {
            "Core_version": self._core_version,
            "Metadata_metadata": lambda runtime, _: byte_string().encode(self.metadata(runtime)),
            "Metadata_metadata_versions": lambda *_: encode_compact(1) + struct.pack("<I", 14),
            "Metadata_metadata_at_version": self._metadata_at,
            "AccountNonceApi_account_nonce": self._account_nonce,
            "TransactionPaymentApi_query_info": self._query_info,
            "TransactionPaymentApi_query_fee_details": self._query_fee_details,
        }

    def register(self, methods: Methods) -> None:
        """Add the methods to the table."""
        methods.register("state_getMetadata", self.get_metadata)
        methods.register("state_getRuntimeVersion", self.runtime_version, aliases=("chain_getRuntimeVersion",))
        methods.register("state_getStorage", self.storage, aliases=("state_getStorageAt",))
        methods.register("state_getStorageSize", self.storage_size, aliases=("state_getStorageSizeAt",))
        methods.register("state_getStorageHash", self.storage_hash, aliases=("state_getStorageHashAt",))
        methods.register("state_queryStorageAt", self.query_storage)
        methods.register("state_getKeysPaged", self.keys_paged, aliases=("state_getKeysPagedAt",))
        methods.register("state_getReadProof", self.read_proof)
        methods.register("state_call", self.call, aliases=("state_callAt",))
        methods.register("payment_queryInfo", self.payment_info)
        methods.register_subscription(
            "state_subscribeStorage", "state_unsubscribeStorage", "state_storage", self.subscribe_storage
        )
        methods.register_subscription(
            "state_subscribeRuntimeVersion",
            "state_unsubscribeRuntimeVersion",
            "state_runtimeVersion",
            self.subscribe_version,
            aliases=(("chain_subscribeRuntimeVersion", "chain_unsubscribeRuntimeVersion"),),
        )

    def at(self, value: Any) -> Heddle:
        """A runtime on the state after a block. RpcError if the block is unknown or its state discarded."""
        wanted = self.chain.best.hash if value is None else block_hash(value)
        try:
            return self.chain.at(wanted, self._runtime)
        except (UnknownBlock, StateDiscarded) as error:
            raise state_error(error) from error

    def reader(self, value: Any) -> StateReader:
        """The raw state after a block. RpcError likewise."""
        wanted = self.chain.best.hash if value is None else block_hash(value)
        try:
            return self.chain.store.state_at(wanted)
        except (UnknownBlock, StateDiscarded) as error:
            raise state_error(error) from error

    def metadata(self, runtime: Heddle) -> bytes:
        """Metadata V14 of the rules that `runtime` looks at."""
        spec = runtime.state.spec
        if spec not in self._metadata:
            self._metadata[spec] = metadata_v14(runtime)
        return self._metadata[spec]

    async def get_metadata(self, at: Any = None) -> str:
        """Metadata, always V14 (older clients know no other)."""
        return hexed(self.metadata(self.at(at)))

    async def runtime_version(self, at: Any = None) -> dict[str, Any]:
        """The rules that apply to children of a block."""
        runtime = self.at(at)
        return version_json(runtime.state.spec, runtime.transaction_version)

    async def storage(self, key: Any, at: Any = None) -> str | None:
        """The value under a raw key; null if there is none."""
        value = self.reader(at).get(hex_bytes(key, "key", KEY_BYTES_MAX))
        return None if value is None else hexed(value)

    async def storage_size(self, key: Any, at: Any = None) -> int | None:
        """The value's length in bytes."""
        value = self.reader(at).get(hex_bytes(key, "key", KEY_BYTES_MAX))
        return None if value is None else len(value)

    async def storage_hash(self, key: Any, at: Any = None) -> str | None:
        """blake2b-256 of the value."""
        value = self.reader(at).get(hex_bytes(key, "key", KEY_BYTES_MAX))
        return None if value is None else hexed(blake2b256(value))

    async def query_storage(self, keys: Any, at: Any = None) -> list[dict[str, Any]]:
        """Several values at once."""
        reader = self.reader(at)
        return [self._changes(reader, hex_list(keys, "keys", KEY_BYTES_MAX))]

    @staticmethod
    def _changes(reader: StateReader, keys: list[bytes]) -> dict[str, Any]:
        values = ((key, reader.get(key)) for key in keys)
        changes = [[hexed(key), None if value is None else hexed(value)] for key, value in values]
        return {"block": hexed(reader.head.hash), "changes": changes}

    async def keys_paged(self, prefix: Any, count: Any, start_key: Any = None, at: Any = None) -> list[str]:
        """Keys with a prefix, ascending, after `start_key`."""
        after = None if start_key in (None, "0x") else hex_bytes(start_key, "startKey", KEY_BYTES_MAX)
        reader = self.reader(at)
        wanted = hex_bytes(prefix or "0x", "prefix", KEY_BYTES_MAX)
        return [hexed(key) for key in reader.keys_paged(wanted, integer(count, "count", KEYS_PAGE_MAX), after)]

    async def read_proof(self, keys: Any, at: Any = None) -> dict[str, Any]:
        """Proofs of what keys hold, checked against the header alone (`runtime.proof`).

        The tree is Heddle's own, so Substrate's proof verifiers cannot read them (spec/chain.md §1.13).
        """
        reader = self.reader(at)
        proofs = [reader.prove(key) for key in hex_list(keys, "keys", KEY_BYTES_MAX)]
        return {"at": hexed(reader.head.hash), "proof": [hexed(encode_proofs(proofs))]}

    async def call(self, method: Any, data: Any = "0x", at: Any = None) -> str:
        """A runtime API by name, with SCALE arguments."""
        name = text(method, "method", 128)
        arguments = hex_bytes(data, "data", ARGUMENTS_BYTES_MAX)
        function = self._calls.get(name)
        if function is None:
            raise InvalidParams("method", f"no runtime API {name}; there are {', '.join(self._calls)}")
        try:
            return hexed(function(self.at(at), arguments))
        except ScaleError as error:
            raise InvalidParams("data", str(error)) from error

    def _core_version(self, runtime: Heddle, _arguments: bytes) -> bytes:
        apis = b"".join(api_hash(name) + struct.pack("<I", version) for name, version in APIS.items())
        return (
            byte_string().encode(SPEC_NAME.encode())
            + byte_string().encode(b"heddle-python")
            + struct.pack("<III", 1, runtime.state.spec, 1)
            + encode_compact(len(APIS))
            + apis
            + struct.pack("<I", runtime.transaction_version)
            + b"\x01"
        )

    def _metadata_at(self, runtime: Heddle, arguments: bytes) -> bytes:
        if len(arguments) != 4:
            raise ScaleError("expected a u32 version")
        if struct.unpack("<I", arguments)[0] not in METADATA_VERSIONS:
            return b"\x00"
        return b"\x01" + byte_string().encode(self.metadata(runtime))

    @staticmethod
    def _account_nonce(runtime: Heddle, arguments: bytes) -> bytes:
        if len(arguments) != 32:
            raise ScaleError("expected an account of 32 bytes")
        return struct.pack("<I", runtime.system.accounts.get(arguments).nonce)

    def _query_info(self, runtime: Heddle, arguments: bytes) -> bytes:
        extrinsic, _ = self._extrinsic_of(runtime, arguments)
        weight, fee = fee_of(runtime, extrinsic)
        class_byte = bytes((extrinsic.call.definition.dispatch_class.value,))
        return codec_of(Weight).encode(Weight(weight)) + class_byte + codec_of(U128).encode(fee)

    def _query_fee_details(self, runtime: Heddle, arguments: bytes) -> bytes:
        extrinsic, _ = self._extrinsic_of(runtime, arguments)
        _, fee = fee_of(runtime, extrinsic)
        length_fee = runtime.transaction_payment.fee(len(extrinsic.raw), 0)
        base = runtime.transaction_payment.fee(0, 0)
        parts = (base, length_fee - base, fee - length_fee)
        return b"\x01" + b"".join(codec_of(U128).encode(part) for part in parts) + codec_of(U128).encode(0)

    def _extrinsic_of(self, runtime: Heddle, arguments: bytes) -> tuple[Extrinsic, int]:
        """The extrinsic and the u32 length behind it."""
        raw, length = arguments[:-4], arguments[-4:]
        return self.chain.cache.decode(raw, runtime), struct.unpack("<I", length)[0]

    async def payment_info(self, extrinsic: Any, at: Any = None) -> dict[str, Any]:
        """Weight, class and fee of an extrinsic, signed or not yet."""
        runtime = self.at(at)
        try:
            decoded = self.chain.cache.decode(hex_bytes(extrinsic, "extrinsic", EXTRINSIC_BYTES_MAX), runtime)
        except ScaleError as error:
            raise InvalidParams("extrinsic", str(error)) from error
        weight, fee = fee_of(runtime, decoded)
        return {
            "weight": {"refTime": weight, "proofSize": 0},
            "class": decoded.call.definition.dispatch_class.name.lower(),
            "partialFee": str(fee),
        }

    async def subscribe_storage(self, subscription: Subscription, keys: Any = None) -> None:
        """Values of keys: now, and whenever a best block changes one."""
        wanted = hex_list(keys, "keys", KEY_BYTES_MAX)
        subscription.push(self._changes(self.reader(None), wanted))
        subscription.start(self._follow_storage, subscription, wanted)

    async def _follow_storage(self, subscription: Subscription, keys: list[bytes]) -> None:
        with self.chain.events.listen() as events:
            last = {key: self.reader(None).get(key) for key in keys}
            async for event in events:
                if not (event.is_best if isinstance(event, Imported) else event.enacted):
                    continue
                head = event.head if isinstance(event, Imported) else event.best
                try:
                    reader = self.chain.store.state_at(head.hash)
                except (UnknownBlock, StateDiscarded):
                    continue  # the best chain has gone on since; its own event follows
                changed = [key for key in keys if reader.get(key) != last[key]]
                if changed:
                    last |= {key: reader.get(key) for key in changed}
                    subscription.push(self._changes(reader, changed))
        subscription.close()

    async def subscribe_version(self, subscription: Subscription) -> None:
        """The runtime version: now, and when it changes."""
        subscription.push(await self.runtime_version())
        subscription.start(self._follow_version, subscription)

    async def _follow_version(self, subscription: Subscription) -> None:
        last = await self.runtime_version()
        with self.chain.events.listen() as events:
            async for event in events:
                if isinstance(event, Imported) and event.is_best and (now := await self.runtime_version()) != last:
                    last = now
                    subscription.push(now)
        subscription.close()


def fee_of(runtime: Heddle, extrinsic: Extrinsic) -> tuple[int, int]:
    """(weight in picoseconds, fee in planck) of an extrinsic on the state that `runtime` looks at."""
    weight = extrinsic.call.weight_ps
    pays = extrinsic.call.definition.pays_fee
    return weight + BASE_EXTRINSIC_PS, runtime.transaction_payment.fee(len(extrinsic.raw), weight) if pays else 0


def state_error(error: UnknownBlock | StateDiscarded) -> RpcError:
    """What a client gets that asks for a state this node does not have."""
    if isinstance(error, StateDiscarded):
        return RpcError(STATE_DISCARDED, str(error))
    return RpcError(UNKNOWN_BLOCK, f"Unknown block: {error}")
