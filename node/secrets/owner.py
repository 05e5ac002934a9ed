"""The owner's side of secrets: a job's environment as it is registered, and copies of its key for its readers."""

from __future__ import annotations

from collections.abc import Iterable

from node.secrets.boxes import seal_key
from pallets.jobs.records import Slot
from pallets.jobs.types import Environment, Sealing
from pallets.secrets.contexts import name_tag, prekey_context, slot_context
from pallets.secrets.types import PrekeyCopy


def environment_of(secret_key: bytes, names: Iterable[str], sealing: Sealing, *, public: bool) -> Environment:
    """What a specification says of an environment: tags of its names, ascending, so that they tell no order."""
    return Environment(tuple(sorted(name_tag(secret_key, name) for name in names)), sealing, public)


def copy_for_slot(genesis_hash: bytes, job_hash: bytes, number: int, slot: Slot, secret_key: bytes) -> bytes:
    """The copy for the processor of an acknowledged slot."""
    assert slot.processor is not None, "an acknowledged slot has a processor"
    assert slot.key is not None, "and a key"
    context = slot_context(genesis_hash, job_hash, number, slot.generation, slot.processor, slot.key)
    return seal_key(secret_key, slot.key, context)


def copies_for_prekeys(
    genesis_hash: bytes, job_hash: bytes, readers: Iterable[tuple[bytes, bytes]], secret_key: bytes
) -> tuple[PrekeyCopy, ...]:
    """Copies for (processor, one-time key)."""
    return tuple(
        PrekeyCopy(who, key, seal_key(secret_key, key, prekey_context(genesis_hash, job_hash, who, key)))
        for who, key in readers
    )
