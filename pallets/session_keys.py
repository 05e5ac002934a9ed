"""Session keys: what a validator authors, votes and reveals with, and the proof that it holds them.

The proof of possession keeps one from registering another's keys: aura and gran keys both sign
"HDLK" ‖ genesis ‖ account ‖ keys (spec/chain.md §1.17). The beacon's commitment needs none: only who knows the chain
behind it can reveal.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pallets.aura import AuraKey
from pallets.grandpa import GrandpaKey, Member
from runtime.crypto import Scheme, verify
from runtime.errors import PalletError
from runtime.scale import Bounded, Fixed, codec_of, scale_path
from runtime.types import AccountId, Hash

VALIDATORS_MAX = 64
SIGNATURE_BYTES = 64
PROOF_BYTES = 2 * SIGNATURE_BYTES
POSSESSION_PREFIX = b"HDLK"
KEY_TYPES = (b"aura", b"gran", b"bcn0")
KEY_BYTES = 32

KeyTypeId = Annotated[bytes, Fixed(4, ("sp_core", "crypto", "KeyTypeId"))]


@scale_path("heddle_runtime", "SessionKeys")
@dataclass(frozen=True, slots=True)
class SessionKeys:
    """A validator's keys: authoring, voting, and the commitment of its beacon chain."""

    aura: AuraKey
    grandpa: GrandpaKey
    beacon: Hash

    def typed(self) -> tuple[tuple[bytes, bytes], ...]:
        """Each key with its type, as Session.KeyOwner names it."""
        return tuple(zip(KEY_TYPES, (self.aura, self.grandpa, self.beacon), strict=True))


SESSION_KEYS = codec_of(SessionKeys)

Validators = tuple[tuple[bytes, SessionKeys], ...]
"""Accounts with their keys, in authority order."""
ValidatorsHint = Annotated[tuple[tuple[AccountId, SessionKeys], ...], Bounded(VALIDATORS_MAX)]


class InvalidProof(PalletError):
    """Invalid ownership proof: aura and gran keys must sign "HDLK", genesis, account and keys. Detail: which key."""

    index = 0


def possession_message(genesis_hash: bytes, account: bytes, keys: SessionKeys) -> bytes:
    """What the aura and gran keys sign to prove that `account` holds them."""
    return POSSESSION_PREFIX + genesis_hash + account + SESSION_KEYS.encode(keys)


def check_possession(genesis_hash: bytes, account: bytes, keys: SessionKeys, proof: bytes) -> None:
    """`proof` is the aura key's signature, then the gran key's. Raises InvalidProof."""
    message = possession_message(genesis_hash, account, keys)
    if len(proof) != PROOF_BYTES:
        raise InvalidProof(len(KEY_TYPES))
    if not verify(Scheme.ED25519, keys.aura, message, proof[:SIGNATURE_BYTES]):
        raise InvalidProof(0)
    if not verify(Scheme.ED25519, keys.grandpa, message, proof[SIGNATURE_BYTES:]):
        raise InvalidProof(1)


def members_of(validators: Validators) -> tuple[Member, ...]:
    """The same validators as Grandpa keeps them for evidence."""
    return tuple(Member(account, keys.aura, keys.grandpa) for account, keys in validators)


def commitments_of(validators: Validators) -> tuple[bytes, ...]:
    """The beacon commitments, in authority order."""
    return tuple(keys.beacon for _, keys in validators)


def genesis_validators(entries: Any) -> Validators:
    """Read `session.validators` of the chain spec. Raises ValueError naming the entry and its field."""
    if not isinstance(entries, list | tuple) or not 1 <= len(entries) <= VALIDATORS_MAX:
        raise ValueError(f"session.validators: expected a list of 1..{VALIDATORS_MAX} validators")
    columns: dict[str, set[bytes]] = {"account": set(), "aura": set(), "grandpa": set(), "beacon": set()}
    validators = []
    for number, entry in enumerate(entries):
        if not isinstance(entry, Mapping) or set(entry) != set(columns):
            raise ValueError(f"session.validators[{number}]: expected exactly {', '.join(columns)}")
        for column, seen in columns.items():
            key = entry[column]
            if not isinstance(key, bytes) or len(key) != KEY_BYTES or not any(key):
                raise ValueError(f"session.validators[{number}].{column}: expected 32 bytes that are not all zero")
            if key in seen:
                raise ValueError(f"session.validators[{number}].{column}: 0x{key.hex()} appears twice")
            seen.add(key)
        validators.append((entry["account"], SessionKeys(entry["aura"], entry["grandpa"], entry["beacon"])))
    return tuple(validators)
