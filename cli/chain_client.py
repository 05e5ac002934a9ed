"""The chain as a command sees it: typed reads, dry runs, signed transactions followed to finality.

The composed runtime is the client's library: its pallets read the node's state through `RemoteState`, its calls encode
themselves, its events and errors come back with their names. Nothing here is known twice.
"""

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from cli.errors import CliError, NotFound, Refused, TimedOut
from cli.rpc_client import RpcClient, RpcError
from runtime import ss58
from runtime.address import Era
from runtime.errors import ModuleValue
from runtime.extrinsic import EXTRINSIC_BYTES_MAX, SigningContext, sign_extrinsic
from runtime.hashing import blake2b256
from runtime.heddle import MAX_SPEC, MIN_SPEC, SPEC_NAME, Heddle
from runtime.runtime import EventRecord

KEYS_PER_PAGE = 250
"""Their values are asked for in one batch, of which a node takes 256 requests."""
# A transaction may wait this many blocks from the finalised head on; long enough for a stall, short enough to forget.
MORTAL_BLOCKS = 64
FINALITY_TIMEOUT_S = 120.0
NONCE_TRIES_MAX = 16
NONCE_PAUSE_MS, NONCE_PAUSE_MS_MAX = 50, 2_000
"""Commands that sign for one account at once wait for a random time before they look again, at first no longer than
this and twice as long each time."""
NONCE_TAKEN, INVALID = (1013, 1014), 1010
STALE = "Transaction is outdated"

# What to do where the chain refuses money: its token errors have no text of their own.
NEXT = {
    "Token.FundsUnavailable": "the account has too little free balance: see `heddle wallet balance`",
    "Token.BelowMinimum": "an account keeps at least 0.01 HDL: send more, or less",
    "Token.NotExpendable": "the payer must keep 0.01 HDL: send less, or add --allow-death",
}


class Signer(Protocol):
    """An account that can sign: a wallet, or a development key."""

    @property
    def public(self) -> bytes: ...
    @property
    def scheme(self) -> int: ...
    def sign(self, message: bytes) -> bytes: ...


class RemoteState:
    """A node's state at one block, in the form that the runtime reads its storage through."""

    def __init__(self, rpc: RpcClient, block_hash: str) -> None:
        self.rpc = rpc
        self.block_hash = block_hash

    def get(self, key: bytes) -> bytes | None:
        value = self.rpc.call("state_getStorage", "0x" + key.hex(), self.block_hash)
        return None if value is None else bytes_of(value)

    def iterate(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        after: str | None = None
        while True:
            keys = self.rpc.call("state_getKeysPaged", "0x" + prefix.hex(), KEYS_PER_PAGE, after, self.block_hash)
            values = self.rpc.batch([("state_getStorage", [key, self.block_hash]) for key in keys])
            for key, value in zip(keys, values, strict=True):
                if value is not None and bytes_of(key) >= start:
                    yield bytes_of(key), bytes_of(value)
            if len(keys) < KEYS_PER_PAGE:
                return
            after = keys[-1]


@dataclass(frozen=True)
class DryRun:
    """What a call would do upon the present best block: `fee` in units; `error` is None if it would succeed.

    `error` names pallet, error and field: `Jobs.OutOfBounds(memory)`; `explanation` is the error's own description.
    """

    fee: int
    error: str | None
    explanation: str


@dataclass(frozen=True)
class Included:
    """A transaction in a block, with its own events and the fee it really cost (units)."""

    extrinsic_hash: str
    block_hash: str
    block_number: int
    index: int
    finalized: bool
    fee: int
    error: str | None
    events: list[Any] = field(default_factory=list)

    def event(self, kind: type) -> Any:
        """The first event of this class; CliError if there is none."""
        for event in self.events:
            if isinstance(event, kind):
                return event
        raise CliError(f"the transaction left no {kind.__name__} event", f"look at block {self.block_hash}")


class ChainClient:
    """One node's chain. Close it, or use it as a context manager."""

    def __init__(self, rpc: RpcClient) -> None:
        self.rpc = rpc
        self.runtime = Heddle()
        version, genesis = rpc.batch([("state_getRuntimeVersion", []), ("chain_getBlockHash", [0])])
        spec = int(version["specVersion"])
        if version["specName"] != SPEC_NAME or not MIN_SPEC <= spec <= MAX_SPEC:
            raise CliError(
                f"the node runs {version['specName']} {spec}; this command knows {SPEC_NAME} {MIN_SPEC} to {MAX_SPEC}",
                "use the `heddle` of the node's version",
            )
        self.genesis_hash = str(genesis)
        self.context = SigningContext(spec, int(version["transactionVersion"]), bytes_of(genesis))
        self.spec = spec

    @classmethod
    def connect(cls, url: str) -> "ChainClient":
        """Connect to the node at `url`."""
        rpc = RpcClient(url)
        try:
            return cls(rpc)
        except CliError:
            rpc.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.rpc.close()

    # Reading

    def best_hash(self) -> str:
        """The best block's hash."""
        return str(self.rpc.call("chain_getBlockHash"))

    def finalized_hash(self) -> str:
        """The last final block's hash."""
        return str(self.rpc.call("chain_getFinalizedHead"))

    def header(self, block_hash: str) -> dict[str, Any]:
        """A header as the node gives it, `number` as an int; NotFound if it has none."""
        header = self.rpc.call("chain_getHeader", block_hash)
        if header is None:
            raise NotFound(f"the node has no block {block_hash}", "is it on this chain, and not pruned?")
        return {**header, "number": int(header["number"], 16)}

    def at(self, block_hash: str | None = None) -> Heddle:
        """The runtime, reading the state after this block (the best one by default) until the next call of `at`."""
        self.runtime.state.attach(RemoteState(self.rpc, block_hash or self.best_hash()), self.spec)
        return self.runtime

    # Writing

    def call(self, pallet: str, name: str, *arguments: Any) -> bytes:
        """The bytes of a call; Refused names what does not fit its declaration."""
        try:
            return self.runtime.call_codec.encode(self.runtime.definition(pallet, name)(*arguments))
        except (ValueError, OverflowError) as error:
            raise Refused(f"{pallet}.{name}: {error}", "correct that value") from error

    def dry_run(self, call: bytes, who: bytes) -> DryRun:
        """What this call would do now if `who` signed it: nothing is signed, sent or changed."""
        answer = self.rpc.call("system_dryRunCall", "0x" + call.hex(), ss58.encode(who))
        if answer["ok"]:
            return DryRun(int(answer["fee"]), None, "")
        return DryRun(int(answer["fee"]), *self.explain(answer["error"], int(answer["detail"])))

    def require(self, call: bytes, who: bytes) -> DryRun:
        """The dry run; Refused, with the chain's own reason, if the call would fail."""
        result = self.dry_run(call, who)
        if result.error is not None:
            raise Refused(
                f"the chain would refuse this: {result.error}", result.explanation or NEXT.get(result.error, "")
            )
        return result

    def explain(self, name: str, detail: int) -> tuple[str, str]:
        """A dispatch error by name and detail byte: the name with its field, and the error's description."""
        from pallets.jobs.errors import Field

        pallet, _, kind = name.partition(".")
        for error in self.runtime.by_name[pallet].errors if pallet in self.runtime.by_name else ():
            if error.__name__ == kind:
                description = (error.__doc__ or "").strip()
                if "detail names the field" in description:
                    return f"{name}({Field(detail).name.lower()})", description
                return name, description
        return name, ""

    def sign(self, call: bytes, signer: Signer, *, tip: int = 0, nonce: int | None = None) -> bytes:
        """A signed extrinsic, mortal from the final head on; its nonce counts the pool unless it is given."""
        if nonce is None:
            nonce = int(self.rpc.call("system_accountNextIndex", ss58.encode(signer.public)))
        birth_hash = self.finalized_hash()
        number = self.header(birth_hash)["number"]
        extrinsic = sign_extrinsic(
            call,
            signer.public,
            signer.sign,
            self.context,
            nonce=nonce,
            # An era of 64 blocks that starts at the head: its first block, whose hash is signed, is the head itself.
            era=Era.mortal(MORTAL_BLOCKS, number),
            era_block_hash=bytes_of(birth_hash),
            tip=tip,
            scheme=signer.scheme,
        )
        if len(extrinsic) > EXTRINSIC_BYTES_MAX:
            size = f"{len(extrinsic)} bytes, at most {EXTRINSIC_BYTES_MAX} are allowed"
            raise Refused(f"the transaction has {size}", "put large data into blobs")
        return extrinsic

    def submit(self, extrinsic: bytes) -> str:
        """Hand it to the pool; its hash."""
        return str(self.rpc.call("author_submitExtrinsic", "0x" + extrinsic.hex()))

    def send(
        self,
        call: bytes,
        signer: Signer,
        *,
        tip: int = 0,
        finalized: bool = True,
        watch: Callable[[str], None] | None = None,
        timeout_s: float = FINALITY_TIMEOUT_S,
    ) -> Included:
        """Dry-run, sign, submit and follow to finality (or to the first block); `watch` hears each step.

        Raises Refused before anything is signed, CliError if the call failed in its block, TimedOut.
        """
        self.require(call, signer.public)
        for tried in range(NONCE_TRIES_MAX):
            extrinsic = self.sign(call, signer, tip=tip)
            try:
                included = self.follow(extrinsic, finalized=finalized, watch=watch, timeout_s=timeout_s)
                break
            except RpcError as error:
                # Somebody else signed for this account between our look at the nonce and the pool's.
                if tried == NONCE_TRIES_MAX - 1 or not took_the_nonce(error):
                    raise
                time.sleep(secrets.randbelow(min(NONCE_PAUSE_MS << tried, NONCE_PAUSE_MS_MAX)) / 1000)
        if included.error is not None:
            spent = f"the fee of {included.fee} units is spent"
            raise CliError(
                f"it failed in block {included.block_number}: {included.error}; {spent}",
                "the state changed after the dry run: look at it and try again",
            )
        return included

    def follow(
        self,
        extrinsic: bytes,
        *,
        finalized: bool = True,
        watch: Callable[[str], None] | None = None,
        timeout_s: float = FINALITY_TIMEOUT_S,
    ) -> Included:
        """Submit a signed extrinsic and wait until it is in a block, or in a final one."""
        wanted = "finalized" if finalized else "inBlock"
        with self.rpc.subscribe("author_submitAndWatchExtrinsic", "0x" + extrinsic.hex()) as updates:
            while True:
                update = updates.next(timeout_s)
                name, value = next(iter(update.items())) if isinstance(update, dict) else (str(update), None)
                if watch is not None:
                    watch(name)
                if name == wanted or (name == "finalized" and value):
                    return self.find(str(value), extrinsic, finalized=name == "finalized")
                if name in {"dropped", "invalid", "usurped"}:
                    raise CliError(f"the pool gave the transaction up: {name}", "check the nonce, and try again")
                if name == "finalityTimeout":
                    raise TimedOut("the block is not final after a long time", "see `heddle network status`")

    def find(self, block_hash: str, extrinsic: bytes, *, finalized: bool) -> Included:
        """What this extrinsic did in this block."""
        block = self.rpc.call("chain_getBlock", block_hash)["block"]
        index = block["extrinsics"].index("0x" + extrinsic.hex())
        events = [record.event for record in self.events(block_hash) if record.phase == index]
        return Included(
            "0x" + blake2b256(extrinsic).hex(),
            block_hash,
            int(block["header"]["number"], 16),
            index,
            finalized,
            self._fee(events),
            self._failure(events),
            events,
        )

    def events(self, block_hash: str) -> tuple[EventRecord, ...]:
        """All events of a block."""
        return tuple(self.at(block_hash).system.events_value.get())

    @staticmethod
    def _fee(events: list[Any]) -> int:
        from pallets.transaction_payment import TransactionFeePaid

        return sum(event.actual_fee for event in events if isinstance(event, TransactionFeePaid))

    def _failure(self, events: list[Any]) -> str | None:
        from pallets.system import ExtrinsicFailed

        failures = [event.dispatch_error for event in events if isinstance(event, ExtrinsicFailed)]
        if not failures:
            return None
        detail = failures[0].module.error[1] if isinstance(failures[0], ModuleValue) else 0
        return self.explain(self.runtime.error_name(failures[0]), detail)[0]


def took_the_nonce(error: RpcError) -> bool:
    """Whether the pool refused a transaction only because another one of its account came first.

    An equal one counts too: two commands that pay the same at the same time sign the same bytes.
    """
    return error.code in NONCE_TAKEN or (error.code == INVALID and STALE in str(error.data))


def bytes_of(text: str) -> bytes:
    """0x-hex from a node; CliError if it is none."""
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except ValueError as error:
        raise CliError(f"the node answered {text[:40]!r}, not hex", "is this address a Heddle node's?") from error
