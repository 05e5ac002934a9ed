"""system_*: who this node is, how it is, and account nonces that count the pool."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from node.chain import Chain
from node.keys.keystore import AURA, Keystore
from node.rpc.api.author_api import SUBMITTED_BYTES_MAX, submission_error
from node.rpc.api.chain_api import hexed
from node.rpc.api.state_api import StateApi
from node.rpc.errors import InvalidParams
from node.rpc.methods import Methods
from node.rpc.params import account, hex_bytes
from node.transactions import Transactions
from runtime.chain_spec import PROPERTIES
from runtime.errors import DispatchError, DispatchErrorValue, InvalidTransaction, ModuleValue
from runtime.pallet import Signed
from runtime.scale import ScaleError
from runtime.weight import BlockBudget

NODE_NAME = "Heddle Node"
NODE_VERSION = "0.1.0"
SIGNED_BYTES = 112
"""What address, signature, era, nonce and tip add to a call, about."""


class SystemApi:
    """Answers about the node itself."""

    def __init__(
        self,
        chain: Chain,
        transactions: Transactions,
        state: StateApi,
        keystore: Keystore,
        chain_name: str,
        chain_type: str,
        *,
        health: Callable[[], dict[str, Any]],
        identity: Callable[[], tuple[str, list[str]]],
        peers: Callable[[], list[dict[str, Any]]],
    ) -> None:
        self.chain = chain
        self.transactions = transactions
        self.state = state
        self.keystore = keystore
        self.chain_name = chain_name
        self.health_of = health
        self.identity = identity
        self.peers_of = peers
        self.chain_type_name = chain_type

    def register(self, methods: Methods) -> None:
        """Add the methods to the table."""
        methods.register("system_name", self.name)
        methods.register("system_version", self.version)
        methods.register("system_chain", self.chain_name_)
        methods.register("system_chainType", self.chain_type)
        methods.register("system_properties", self.properties_)
        methods.register("system_health", self.health)
        methods.register("system_localPeerId", self.local_peer)
        methods.register("system_localListenAddresses", self.addresses)
        methods.register("system_peers", self.peers, unsafe=True)
        methods.register("system_nodeRoles", self.roles)
        methods.register("system_syncState", self.sync_state)
        methods.register("system_accountNextIndex", self.next_index, aliases=("account_nextIndex",))
        methods.register("system_dryRun", self.dry_run, aliases=("system_dryRunAt",))
        methods.register("system_dryRunCall", self.dry_run_call)

        async def names() -> dict[str, Any]:
            return {"version": 1, "methods": methods.names()}

        methods.register("rpc_methods", names)

    async def name(self) -> str:
        """The implementation."""
        return NODE_NAME

    async def version(self) -> str:
        """The implementation's version."""
        return NODE_VERSION

    async def chain_name_(self) -> str:
        """The chain's name, from its spec."""
        return self.chain_name

    async def chain_type(self) -> str:
        """Development, Local or Live."""
        return self.chain_type_name

    async def properties_(self) -> dict[str, Any]:
        """Address format and token."""
        return PROPERTIES

    async def health(self) -> dict[str, Any]:
        """{peers, isSyncing, shouldHavePeers}."""
        return self.health_of()

    async def local_peer(self) -> str:
        """The node's peer id."""
        return self.identity()[0]

    async def addresses(self) -> list[str]:
        """Where peers can reach this node, for --bootnodes."""
        return self.identity()[1]

    async def peers(self) -> list[dict[str, Any]]:
        """The peers and what they said of their chain."""
        return self.peers_of()

    async def roles(self) -> list[str]:
        """Authority if the keystore has an authoring key of the present set."""
        runtime = self.state.at(None)
        authorities = runtime.aura.authorities_for_child()
        return ["Authority"] if any(self.keystore.has(AURA, key) for key in authorities) else ["Full"]

    async def sync_state(self) -> dict[str, int]:
        """Heights."""
        best = self.chain.best.number
        return {"startingBlock": 0, "currentBlock": best, "highestBlock": best}

    async def next_index(self, account_: Any) -> int:
        """The account's next nonce, counting its transactions in the pool."""
        return self.transactions.pool.next_nonce(account(account_))

    async def dry_run(self, extrinsic: Any, at: Any = None) -> str:
        """What a signed extrinsic would do upon the best block: SCALE `Result<Result<(), DispatchError>, ...>`."""
        raw = hex_bytes(extrinsic, "extrinsic", SUBMITTED_BYTES_MAX)
        runtime = self.state.at(at)
        try:
            checked = self.transactions.ledger.check(raw)
            error = self._dispatch(runtime, checked.extrinsic.call, checked.extrinsic.signer or b"")
        except (InvalidTransaction, ScaleError) as refused:
            raise submission_error(refused) from refused
        return "0x0000" if error is None else "0x0001" + error[0].hex()

    async def dry_run_call(self, call: Any, account_: Any, at: Any = None) -> dict[str, Any]:
        """What a call (SCALE, unsigned) would do if `account` signed it: {ok, error, detail, fee}."""
        runtime = self.state.at(at)
        raw = hex_bytes(call, "call", SUBMITTED_BYTES_MAX)
        try:
            decoded = runtime.call_codec.decode(raw)
        except ScaleError as error:
            raise InvalidParams("call", str(error)) from error
        weight_max = BlockBudget(self.chain.slot_ms).normal_max_ps
        if decoded.weight_ps > weight_max:
            raise InvalidParams("call", f"weighs {decoded.weight_ps} ps, at most {weight_max} fit into a block")
        fee = runtime.transaction_payment.fee(len(raw) + SIGNED_BYTES, decoded.weight_ps)
        failure = self._dispatch(runtime, decoded, account(account_))
        _, name, detail = failure or (None, None, None)
        return {"ok": failure is None, "error": name, "detail": detail, "fee": str(fee)}

    @staticmethod
    def _dispatch(runtime: Any, call: Any, who: bytes) -> tuple[bytes, str, int] | None:
        """Dispatch on a state that is thrown away; (encoded error, its name, its detail) if it fails."""
        system = runtime.system
        system.number += 1
        system.parent_slot, system.slot = system.slot, system.slot + 1
        system.now_ms = system.slot * system.slot_ms
        try:
            runtime.dispatch_in_layer(call, Signed(who))
        except DispatchError as error:
            value = runtime.error_value(error)
            detail = value.module.error[1] if isinstance(value, ModuleValue) else 0
            return runtime.registry.codec(DispatchErrorValue).encode(value), runtime.error_name(value), detail
        return None


__all__ = ["SystemApi", "hexed"]
