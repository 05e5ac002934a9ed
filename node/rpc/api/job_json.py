"""The JSON forms of the job layer that several methods share: records by `queries.plain`, made fit for people.

An account `name` gets a companion `name_address` (SS58), a list of accounts `name_addresses`; a CID is in its text
form, as blobs_get takes it. Amounts are planck, as whole numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from node.blobs import CID_BYTES, CID_PREFIX, cid_text
from node.chain import Chain
from node.rpc.errors import RpcError
from node.store.records import Head
from pallets.jobs.queries import plain
from runtime import ss58
from runtime.pallet import Event
from runtime.runtime import EventRecord

JOB_NOT_FOUND = 5101
EXECUTION_NOT_FOUND = 5102
PROCESSOR_NOT_FOUND = 5103

ACCOUNT_FIELDS = frozenset(
    ("owner", "processor", "processors", "manager", "matcher", "payer", "consumers", "to", "account")
)
"""Names under which records of the job layer hold accounts."""
ACCOUNT_HEX_CHARS = 2 + 2 * ss58.ACCOUNT_BYTES
CID_HEX_CHARS = 2 + 2 * CID_BYTES
CID_HEX_PREFIX = "0x" + CID_PREFIX.hex()


def readable(value: Any) -> Any:
    """`plain(value)` with addresses beside accounts and CIDs as text."""
    return _readable(plain(value))


def _readable(value: Any) -> Any:
    if isinstance(value, list):
        return [_readable(item) for item in value]
    if not isinstance(value, dict):
        return value
    record: dict[str, Any] = {}
    for name, item in value.items():
        record[name] = _readable(item)
        if name == "cid" and _is_hex(item, CID_HEX_CHARS) and item.startswith(CID_HEX_PREFIX):
            record[name] = cid_text(bytes.fromhex(item[2:]))
        elif name in ACCOUNT_FIELDS and _is_hex(item, ACCOUNT_HEX_CHARS):
            record[f"{name}_address"] = address(bytes.fromhex(item[2:]))
        elif name in ACCOUNT_FIELDS and isinstance(item, list) and all(_is_hex(a, ACCOUNT_HEX_CHARS) for a in item):
            addresses = [address(bytes.fromhex(one[2:])) for one in item]
            record[f"{name.removesuffix('s')}_addresses"] = addresses
    return record


def _is_hex(value: Any, chars: int) -> bool:
    return isinstance(value, str) and len(value) == chars and value.startswith("0x")


def address(account: bytes) -> str:
    """An account as people write it."""
    return ss58.encode(account)


def job_not_found(job: int | bytes) -> RpcError:
    """There is no such job, or its record was removed long after its end."""
    name = str(job) if isinstance(job, int) else f"0x{job.hex()}"
    return RpcError(JOB_NOT_FOUND, "Job not found", f"job {name} was never registered here, or is forgotten")


@dataclass(frozen=True, slots=True)
class BlockPlace:
    """A block as events show it. `slot` is the chain's slot; `finalised` as this node knows now."""

    head: Head
    slot: int
    time_ms: int
    finalised: bool

    def json(self) -> dict[str, Any]:
        """{block, hash, chain_slot, time_ms, finalised}."""
        return {
            "block": self.head.number,
            "hash": f"0x{self.head.hash.hex()}",
            "chain_slot": self.slot,
            "time_ms": self.time_ms,
            "finalised": self.finalised,
        }


def place_of(chain: Chain, head: Head) -> BlockPlace:
    """A stored block's place. Raises UnknownBlock."""
    slot = chain.header(head.hash).slot() or 0
    return BlockPlace(head, slot, slot * chain.slot_ms, is_final(chain, head))


def is_final(chain: Chain, head: Head) -> bool:
    """Whether a block is final, as this node knows now."""
    return head.number <= chain.finalised.number and chain.store.hash_at(head.number) == head.hash


def event_of_job(number: int, record: EventRecord, job: int, pallets: dict[type, str]) -> dict[str, Any] | None:
    """The JSON form of event `number` of its block if it concerns `job`, else None."""
    event = record.event
    if not isinstance(event, Event) or getattr(event, "job", None) != job:
        return None
    # Events are dataclasses; their common base does not say so.
    named = {field.name.rstrip("_"): getattr(event, field.name) for field in fields(event)}  # type: ignore[arg-type]
    return {
        "index": number,
        "extrinsic": record.phase if record.phase is not None and record.phase >= 0 else None,
        "pallet": pallets[type(event)],
        "event": type(event).__name__,
        "fields": readable(named),
    }
