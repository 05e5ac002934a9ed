"""Stand-alone verifier of state proofs: all it needs is a state root, or a SCALE-encoded header.

This file imports the standard library only, so that a light client can take it as it is. The rule of the tree is
repeated here on purpose: a verifier that shared code with the prover would share its mistakes.

A proof says what a storage key holds, or that it holds nothing. It carries the page in which the key's hash lies or
would lie, and for each nibble of the way down 192 bytes: the three sibling quads and the three sibling children
within the own quad, ascending, the own omitted. The verifier folds the page's digest up to a root, compares, and
reads the page. Wire form, SCALE: {key: Bytes, value: Option<Bytes>, path: Vec<[u8; 192]>, page: Bytes}.

    ProofError
    ├── ProofMalformed   the bytes or fields break the form, whatever the root
    └── ProofRejected    well formed, but does not prove its statement for this root
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

_HASH_BYTES = 32
_ENTRY_BYTES = 64
_PAGE_BYTES_MAX = 2048
_ELEMENT_BYTES = 192
_DEPTH_MAX = 64
_KEY_BYTES_MAX = 64 * 1024
_VALUE_BYTES_MAX = 4 * 1024 * 1024
PROOFS_MAX = 1024
"""Most proofs in one encoded list."""


class ProofError(Exception):
    """A proof that does not hold."""


class ProofMalformed(ProofError):
    """The proof breaks the form; `field` names the part and the message the limit."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field


class ProofRejected(ProofError):
    """The proof is well formed and does not prove what it says for the given root."""


@dataclass(frozen=True, slots=True)
class StateProof:
    """`key` holds `value` (or nothing, if None) in the state whose root the proof folds to.

    `path` has one element of 192 bytes a nibble from the root down; `page` is sorted 64-byte entries.
    """

    key: bytes
    value: bytes | None
    path: tuple[bytes, ...]
    page: bytes


def verify(state_root: bytes, proof: StateProof) -> None:
    """Returns if the proof's statement is true in the state with this root; raises ProofError otherwise."""
    if len(state_root) != _HASH_BYTES:
        raise ProofMalformed("state_root", f"{len(state_root)} bytes, not {_HASH_BYTES}")
    kh = _hash(b"key", proof.key)
    _check_form(proof, kh)
    if _fold(proof, kh) != state_root:
        raise ProofRejected("the proof folds to another root")
    found: bytes | None = None
    for at in range(0, len(proof.page), _ENTRY_BYTES):
        if proof.page[at : at + _HASH_BYTES] == kh:
            found = proof.page[at + _HASH_BYTES : at + _ENTRY_BYTES]
    if proof.value is None:
        if found is not None:
            raise ProofRejected("the key is present, the proof says absent")
    elif found is None:
        raise ProofRejected("the key is absent, the proof gives a value")
    elif found != _hash(b"val", proof.value):
        raise ProofRejected("the key holds another value")


def verify_with_header(header: bytes, proof: StateProof, block_hash: bytes | None = None) -> None:
    """As `verify`, for the state after the block with this SCALE header, whose hash is checked when given."""
    if block_hash is not None and blake2b(header, digest_size=_HASH_BYTES).digest() != block_hash:
        raise ProofRejected("the header has another hash")
    verify(state_root_of(header), proof)


def state_root_of(header: bytes) -> bytes:
    """The state root in a SCALE header {parent_hash, compact number, state_root, extrinsics_root, digest}.

    Only the fields up to the two roots are read: the caller's hash of the header covers the rest.
    """
    reader = _Reader(header, "header")
    reader.take(_HASH_BYTES)
    reader.compact((1 << 64) - 1)
    root = reader.take(_HASH_BYTES)
    reader.take(_HASH_BYTES)
    return root


def _hash(person: bytes, data: bytes) -> bytes:
    return blake2b(data, digest_size=_HASH_BYTES, person=person).digest()


def _nibble(kh: bytes, depth: int) -> int:
    return kh[depth // 2] & 15 if depth % 2 else kh[depth // 2] >> 4


def _check_form(proof: StateProof, kh: bytes) -> None:
    """Whatever can be refused without the root: sizes, order, and entries that lie off the key's prefix."""
    depth = len(proof.path)
    if depth > _DEPTH_MAX:
        raise ProofMalformed("path", f"{depth} elements, at most {_DEPTH_MAX}")
    for i, element in enumerate(proof.path):
        if len(element) != _ELEMENT_BYTES:
            raise ProofMalformed("path", f"element {i} has {len(element)} bytes, not {_ELEMENT_BYTES}")
    page = proof.page
    if len(page) > _PAGE_BYTES_MAX:
        raise ProofMalformed("page", f"{len(page)} bytes, at most {_PAGE_BYTES_MAX}")
    if len(page) % _ENTRY_BYTES:
        raise ProofMalformed("page", f"{len(page)} bytes, not a multiple of {_ENTRY_BYTES}")
    previous: bytes | None = None
    for at in range(0, len(page), _ENTRY_BYTES):
        entry_key = page[at : at + _HASH_BYTES]
        if previous is not None and entry_key <= previous:
            raise ProofMalformed("page", "entries are not in ascending order")
        if any(_nibble(entry_key, i) != _nibble(kh, i) for i in range(depth)):
            raise ProofMalformed("page", "an entry lies off the key's prefix")
        previous = entry_key


def _fold(proof: StateProof, kh: bytes) -> bytes:
    """The root that the page and the siblings add up to."""
    current = _hash(b"leaf", proof.page) if proof.page else bytes(_HASH_BYTES)
    for depth in range(len(proof.path) - 1, -1, -1):
        element = proof.path[depth]
        siblings = [element[i : i + _HASH_BYTES] for i in range(0, _ELEMENT_BYTES, _HASH_BYTES)]
        nibble = _nibble(kh, depth)
        children = siblings[3:]
        children.insert(nibble % 4, current)
        quads = siblings[:3]
        quads.insert(nibble // 4, _hash(b"node", b"".join(children)))
        current = _hash(b"node", b"".join(quads))
    return current


# --- Wire form ------------------------------------------------------------------------------------------------------


def encode_proof(proof: StateProof) -> bytes:
    """The SCALE bytes of {key, Option value, path, page}."""
    value = b"\x00" if proof.value is None else b"\x01" + _sized(proof.value)
    return _sized(proof.key) + value + _compact(len(proof.path)) + b"".join(proof.path) + _sized(proof.page)


def encode_proofs(proofs: list[StateProof]) -> bytes:
    """The SCALE bytes of Vec<proof>, as `state_getReadProof` returns them."""
    return _compact(len(proofs)) + b"".join(map(encode_proof, proofs))


def decode_proof(data: bytes) -> StateProof:
    """One proof from exactly these bytes; ProofMalformed for anything else."""
    reader = _Reader(data, "proof")
    proof = _read_proof(reader)
    reader.end()
    return proof


def decode_proofs(data: bytes) -> list[StateProof]:
    """A list of at most PROOFS_MAX proofs from exactly these bytes; ProofMalformed for anything else."""
    reader = _Reader(data, "proofs")
    proofs = [_read_proof(reader) for _ in range(reader.compact(PROOFS_MAX))]
    reader.end()
    return proofs


def _read_proof(reader: _Reader) -> StateProof:
    key = reader.sized(_KEY_BYTES_MAX)
    option = reader.take(1)[0]
    if option > 1:
        raise ProofMalformed("value", f"option byte {option} is neither 0 nor 1")
    value = reader.sized(_VALUE_BYTES_MAX) if option else None
    path = tuple(reader.take(_ELEMENT_BYTES) for _ in range(reader.compact(_DEPTH_MAX)))
    return StateProof(key, value, path, reader.sized(_PAGE_BYTES_MAX))


def _compact(number: int) -> bytes:
    if number < 1 << 6:
        return bytes((number << 2,))
    if number < 1 << 14:
        return (number << 2 | 1).to_bytes(2, "little")
    if number < 1 << 30:
        return (number << 2 | 2).to_bytes(4, "little")
    size = (number.bit_length() + 7) // 8
    return bytes(((size - 4) << 2 | 3,)) + number.to_bytes(size, "little")


def _sized(data: bytes) -> bytes:
    return _compact(len(data)) + data


class _Reader:
    """Strict SCALE reading of untrusted bytes: minimal compacts, lengths bounded before anything is taken."""

    def __init__(self, data: bytes, field: str) -> None:
        self._data = data
        self._at = 0
        self._field = field

    def take(self, size: int) -> bytes:
        if size > len(self._data) - self._at:
            raise ProofMalformed(self._field, f"ends {size - len(self._data) + self._at} bytes early")
        self._at += size
        return self._data[self._at - size : self._at]

    def compact(self, limit: int) -> int:
        first = self.take(1)[0]
        mode = first & 3
        if mode == 3:
            size = (first >> 2) + 4
            number = int.from_bytes(self.take(size), "little")
            minimal = number >= 1 << 30 and number.bit_length() > (size - 1) * 8
        else:
            size = (1, 2, 4)[mode]
            number = int.from_bytes(bytes((first,)) + self.take(size - 1), "little") >> 2
            minimal = mode == 0 or number >= (1 << 6, 1 << 14)[mode - 1]
        if not minimal:
            raise ProofMalformed(self._field, f"the number {number} is not in its shortest form")
        if number > limit:
            raise ProofMalformed(self._field, f"{number} is above the limit {limit}")
        return number

    def sized(self, limit: int) -> bytes:
        return self.take(self.compact(limit))

    def end(self) -> None:
        if self._at != len(self._data):
            raise ProofMalformed(self._field, f"{len(self._data) - self._at} bytes too many")
