"""Extrinsics v4: decoding, the payload a signature covers, and building signed ones.

    compact(length) ‖ 0x84 ‖ address ‖ signature ‖ era ‖ compact nonce ‖ compact tip ‖ call      signed
    compact(length) ‖ 0x04 ‖ call                                                               bare

The payload is call ‖ extra ‖ spec ‖ transaction version ‖ genesis ‖ era block hash, hashed if longer than 256 bytes.
Source: sp_runtime::generic::UncheckedExtrinsic.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runtime.address import IMMORTAL, Era, decode_era
from runtime.crypto import Scheme, verify
from runtime.hashing import blake2b256
from runtime.pallet import RuntimeCall
from runtime.scale import Codec, ScaleError
from runtime.scale.codec import decode_compact, encode_compact

if TYPE_CHECKING:
    from runtime.runtime import Runtime

EXTRINSIC_BYTES_MAX = 256 << 10
"""spec/chain.md (f)."""
PAYLOAD_PLAIN_MAX = 256
SIGNED_V4 = 0x84
BARE_V4 = 0x04
SIGNATURE_BYTES = {0: 64, 1: 64, 2: 65}
NONCE_MAX = (1 << 32) - 1
TIP_MAX = (1 << 128) - 1


@dataclass(slots=True)
class Extrinsic:
    """A decoded extrinsic. `raw` is the bytes as submitted; `hash` = blake2b256(raw); `signer` is None for a bare one.

    `covered` is call ‖ extra, the part of the signing payload that the extrinsic itself holds. `spec` is the version of
    the rules that it was decoded by, in a cache.
    """

    raw: bytes
    hash: bytes
    call: RuntimeCall
    signer: bytes | None = None
    scheme: int = 0
    signature: bytes = b""
    era: Era = IMMORTAL
    nonce: int = 0
    tip: int = 0
    covered: bytes = b""
    spec: int = 0


@dataclass(frozen=True, slots=True)
class SigningContext:
    """What a signature covers besides the extrinsic itself."""

    spec_version: int
    transaction_version: int
    genesis_hash: bytes

    def payload(self, covered: bytes, era_block_hash: bytes) -> bytes:
        """The bytes to sign."""
        versions = struct.pack("<II", self.spec_version, self.transaction_version)
        payload = covered + versions + self.genesis_hash + era_block_hash
        return payload if len(payload) <= PAYLOAD_PLAIN_MAX else blake2b256(payload)


def decode_extrinsic(data: bytes, call: Codec) -> Extrinsic:
    """Decode one extrinsic with its length prefix. Raises ScaleError, naming the part that is wrong."""
    if len(data) > EXTRINSIC_BYTES_MAX:
        raise ScaleError(f"extrinsic: {len(data)} bytes, at most {EXTRINSIC_BYTES_MAX} allowed")
    try:
        length, position = decode_compact(data, 0)
        if length != len(data) - position:
            raise ScaleError(f"extrinsic: length prefix says {length}, {len(data) - position} bytes follow")
        version = data[position]
        if version == SIGNED_V4:
            return _decode_signed(data, position + 1, call)
        if version == BARE_V4:
            decoded, end = call.decode_from(data, position + 1)
            _require_end(data, end)
            return Extrinsic(data, blake2b256(data), decoded)
    except (IndexError, struct.error) as error:
        raise ScaleError("extrinsic: input ends before the value does") from error
    raise ScaleError(f"extrinsic: version byte 0x{version:02x}, expected 0x84 (signed) or 0x04")


def _decode_signed(data: bytes, position: int, call: Codec) -> Extrinsic:
    if data[position] != 0:
        raise ScaleError(f"extrinsic: address variant {data[position]}, only Id (0) is supported")
    signer = data[position + 1 : position + 33]
    scheme = data[position + 33]
    size = SIGNATURE_BYTES.get(scheme)
    if size is None:
        raise ScaleError(f"extrinsic: signature scheme {scheme}, expected 0 ed25519, 1 sr25519 or 2 ecdsa")
    position += 34
    signature = data[position : position + size]
    extra = position + size
    era, position = decode_era(data, extra)
    nonce, position = decode_compact(data, position)
    tip, start = decode_compact(data, position)
    if nonce > NONCE_MAX or tip > TIP_MAX:
        raise ScaleError("extrinsic: nonce above u32 or tip above u128")
    decoded, end = call.decode_from(data, start)
    _require_end(data, end)
    covered = data[start:] + data[extra:start]
    return Extrinsic(data, blake2b256(data), decoded, signer, scheme, signature, era, nonce, tip, covered)


def _require_end(data: bytes, end: int) -> None:
    if end != len(data):
        raise ScaleError(f"extrinsic: {len(data) - end} bytes left over after the call")


def verify_signature(extrinsic: Extrinsic, context: SigningContext, era_block_hash: bytes) -> bool:
    """Whether the signature covers the extrinsic in this context."""
    payload = context.payload(extrinsic.covered, era_block_hash)
    assert extrinsic.signer is not None
    return verify(extrinsic.scheme, extrinsic.signer, payload, extrinsic.signature)


def sign_extrinsic(
    call_data: bytes,
    signer: bytes,
    sign: Callable[[bytes], bytes],
    context: SigningContext,
    *,
    nonce: int,
    era: Era = IMMORTAL,
    era_block_hash: bytes | None = None,
    tip: int = 0,
    scheme: int = Scheme.ED25519,
) -> bytes:
    """A signed extrinsic with its length prefix. `era_block_hash` is the genesis hash for an immortal one."""
    extra = era.encode() + encode_compact(nonce) + encode_compact(tip)
    payload = context.payload(call_data + extra, era_block_hash or context.genesis_hash)
    body = bytes((SIGNED_V4, 0)) + signer + bytes((scheme,)) + sign(payload) + extra + call_data
    return encode_compact(len(body)) + body


def bare_extrinsic(call_data: bytes) -> bytes:
    """An unsigned extrinsic (inherents), with its length prefix."""
    return encode_compact(len(call_data) + 1) + bytes((BARE_V4,)) + call_data


DECODED_MAX = 32_768
VERIFIED_MAX = 65_536


class ExtrinsicCache:
    """Extrinsics decoded once and signatures verified once, by gossip or by import (performance.md, pattern 1).

    Both parts are bounded; the oldest half goes when one is full.
    """

    def __init__(self) -> None:
        self.decoded: dict[bytes, Extrinsic] = {}
        self.verified: dict[bytes, None] = {}

    def decode(self, raw: bytes, runtime: Runtime) -> Extrinsic:
        """The decoded extrinsic. Raises ScaleError."""
        found = self.decoded.get(raw)
        if found is None or found.spec != runtime.state.spec:
            found = decode_extrinsic(raw, runtime.call_codec)
            found.spec = runtime.state.spec
            if len(self.decoded) >= DECODED_MAX:
                _drop_half(self.decoded)
            self.decoded[raw] = found
        return found

    @staticmethod
    def key(extrinsic_hash: bytes, spec: int, transaction_version: int, era_hash: bytes) -> bytes:
        """What one verified signature is remembered under (spec/chain.md §1.3)."""
        return extrinsic_hash + era_hash + spec.to_bytes(4, "little") + transaction_version.to_bytes(4, "little")

    def remember(self, key: bytes) -> None:
        """Note that a signature held."""
        if len(self.verified) >= VERIFIED_MAX:
            _drop_half(self.verified)
        self.verified[key] = None


def _drop_half(cache: dict[bytes, Any]) -> None:
    for key in list(cache)[: len(cache) // 2]:
        cache.pop(key, None)  # the other thread may have been faster
