"""The checks that a signed extrinsic passes before it may enter a block, shared by the executive and the pool."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from runtime.address import Era
from runtime.errors import InvalidTransaction, Validity
from runtime.extrinsic import Extrinsic, ExtrinsicCache, SigningContext, verify_signature
from runtime.pallet import CallDefinition, Inherent, Signed
from runtime.types import ZERO_HASH

if TYPE_CHECKING:
    from pallets.system import System
    from runtime.heddle import Heddle


def check_signable(definition: CallDefinition) -> None:
    """Refuse a signed call that only a block's author may make: it would be free. InvalidTransaction(CALL)."""
    if Inherent in definition.origins and Signed not in definition.origins:
        raise InvalidTransaction(Validity.CALL, f"{definition.pallet}.{definition.name} is made by block authors only")


def check_nonce(system: System, extrinsic: Extrinsic, *, allow_future: bool) -> int:
    """The account's next nonce. Raises InvalidTransaction(STALE | FUTURE)."""
    assert extrinsic.signer is not None
    expected = system.accounts.get(extrinsic.signer).nonce
    if extrinsic.nonce < expected:
        raise InvalidTransaction(Validity.STALE, f"nonce {extrinsic.nonce} was used, the account's next is {expected}")
    if extrinsic.nonce > expected and not allow_future:
        raise InvalidTransaction(Validity.FUTURE, f"nonce {extrinsic.nonce}, the account's next is {expected}")
    return expected


def check_era(system: System, extrinsic: Extrinsic, number: int) -> bytes:
    """The block hash that the signature must cover, seen from height `number`."""
    if extrinsic.era.period == 0:
        return system.genesis_hash
    birth = extrinsic.era.birth(number)
    if birth == number:
        raise InvalidTransaction(
            Validity.ANCIENT_BIRTH_BLOCK,
            f"the era of {extrinsic.era.period} blocks ended before block {number}; sign again",
        )
    found = system.block_hash(birth)
    if found == ZERO_HASH:
        raise InvalidTransaction(
            Validity.ANCIENT_BIRTH_BLOCK, f"the era starts at block {birth}, whose hash is not known at {number}"
        )
    return found


class SignatureChecks:
    """Verifies signatures, remembering those that held.

    What is remembered is (extrinsic hash, spec, transaction version, era block hash), because a mortal signature holds
    on one fork and not on another (spec/chain.md §1.3).
    """

    def __init__(self, runtime: Heddle, cache: ExtrinsicCache) -> None:
        self.runtime = runtime
        self.cache = cache

    def context(self) -> SigningContext:
        """What signatures cover on this chain now."""
        runtime = self.runtime
        return SigningContext(runtime.state.spec, runtime.transaction_version, runtime.system.genesis_hash)

    def check(self, extrinsic: Extrinsic, era_hash: bytes) -> None:
        """Raises InvalidTransaction(BAD_PROOF | ANCIENT_BIRTH_BLOCK), saying what the signature does cover."""
        key = self.cache.key(extrinsic.hash, self.runtime.state.spec, self.runtime.transaction_version, era_hash)
        if key in self.cache.verified:
            return
        context = self.context()
        if not verify_signature(extrinsic, context, era_hash):
            raise self._explain(extrinsic, context, era_hash)
        self.cache.remember(key)

    def _explain(self, extrinsic: Extrinsic, context: SigningContext, era_hash: bytes) -> InvalidTransaction:
        """Why a signature does not hold: an older era, another spec version, or simply wrong."""
        for birth, expired in self._earlier_births(extrinsic.era):
            if verify_signature(extrinsic, context, expired):
                return InvalidTransaction(
                    Validity.ANCIENT_BIRTH_BLOCK, f"the era began at block {birth} and has expired; sign again"
                )
        for spec in (context.spec_version - 1, context.spec_version + 1):
            if spec >= 0 and verify_signature(
                extrinsic, SigningContext(spec, context.transaction_version, context.genesis_hash), era_hash
            ):
                return InvalidTransaction(
                    Validity.BAD_PROOF, f"signed for spec version {spec}, the chain is at {context.spec_version}"
                )
        return InvalidTransaction(
            Validity.BAD_PROOF,
            f"the signature does not cover spec {context.spec_version}, transaction version "
            f"{context.transaction_version}, genesis 0x{context.genesis_hash.hex()}, era block 0x{era_hash.hex()} "
            f"and nonce {extrinsic.nonce}",
        )

    def _earlier_births(self, era: Era) -> Iterator[tuple[int, bytes]]:
        """The two periods before the present one, as far as their hashes are kept."""
        system = self.runtime.system
        for back in (1, 2):
            birth = era.birth(system.number) - back * era.period
            if era.period and birth >= 0 and (found := system.block_hash(birth)) != ZERO_HASH:
                yield birth, found
