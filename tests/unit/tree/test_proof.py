"""Proofs hold for what is true and for nothing else, given the root or header alone."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import proof as proofs
from runtime import tree
from runtime.proof import ProofError, ProofMalformed, ProofRejected, StateProof
from tests.helpers.tree_model import model_digest, personal_hash

STATE = {f"key {i}".encode(): f"value {i}".encode() * (i % 4) for i in range(700)}
ROOT = tree.build_from_state(STATE.items())
DIGEST = tree.digest(ROOT)


def proof_of(key: bytes, root: tree.Node = ROOT, state: dict[bytes, bytes] | None = None) -> StateProof:
    """The honest proof for a key."""
    path, page = tree.prove(root, tree.key_hash(key))
    return StateProof(key, (STATE if state is None else state).get(key), path, page)


def header_of(state_root: bytes) -> bytes:
    """A SCALE header with a three-byte-range number and an empty digest."""
    return bytes(32) + (70_000 << 2 | 2).to_bytes(4, "little") + state_root + b"\x07" * 32 + b"\x00"


@pytest.mark.parametrize("size", [0, 1, 32, 33, 700])
def test_every_key_and_many_absent_ones_are_provable(size: int) -> None:
    """In trees of each form, every key proves its value and random other keys prove their absence."""
    state = dict(list(STATE.items())[:size])
    root = tree.build_from_state(state.items())
    for key in [*state, *(Random(size).randbytes(20) for _ in range(300))]:
        proof = proof_of(key, root, state)
        proofs.verify(tree.digest(root), proof)
        assert proofs.decode_proof(proofs.encode_proof(proof)) == proof


def test_false_statements_are_rejected() -> None:
    """A wrong value, an absent value and a present absence are rejected with otherwise honest proofs."""
    held, missing = proof_of(b"key 5"), proof_of(b"no such key")
    for false in (replace(held, value=b"value 6"), replace(held, value=None), replace(missing, value=b"")):
        with pytest.raises(ProofRejected):
            proofs.verify(DIGEST, false)


def test_a_proof_holds_for_its_own_root_and_key_only() -> None:
    """Under another root, or with another key that lies in the same tree, the proof does not verify."""
    proof = proof_of(b"key 5")
    with pytest.raises(ProofRejected):
        proofs.verify(bytes(32), proof)
    with pytest.raises(ProofError):
        proofs.verify(DIGEST, replace(proof, key=b"key 6", value=STATE[b"key 6"]))


@settings(max_examples=300, deadline=None)
@given(key=st.sampled_from(sorted(STATE)) | st.binary(max_size=8), seed=st.integers(0, 2**32))
def test_any_flipped_bit_is_rejected(key: bytes, seed: int) -> None:
    """One flipped bit anywhere in path or page of an inclusion or absence proof makes it fail."""
    random = Random(seed)
    proof = proof_of(key)
    content = bytearray(b"".join(proof.path) + proof.page)
    content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    split = 192 * len(proof.path)
    path = tuple(bytes(content[i : i + 192]) for i in range(0, split, 192))
    with pytest.raises(ProofError):
        proofs.verify(DIGEST, replace(proof, path=path, page=bytes(content[split:])))


def test_missing_and_added_path_elements_are_rejected() -> None:
    """A path cut at either end or lengthened folds to another root."""
    proof = proof_of(b"key 5")
    for path in (proof.path[1:], proof.path[:-1], (*proof.path, proof.path[0]), ()):
        with pytest.raises(ProofError):
            proofs.verify(DIGEST, replace(proof, path=path))


def test_sizes_off_the_form_are_refused_before_hashing() -> None:
    """An element that is not 192 bytes, a page over 2,048 or off 64 bytes and a path over 64 are malformed."""
    proof = proof_of(b"key 5")
    entry = proof.page[:64]
    bad = [
        (replace(proof, path=(proof.path[0][:-1],)), "path"),
        (replace(proof, path=(proof.path[0] + b"\x00",)), "path"),
        (replace(proof, path=(bytes(192),) * 65), "path"),
        (replace(proof, page=proof.page[:-1]), "page"),
        (replace(proof, page=entry * 33), "page"),
    ]
    for false, field in bad:
        with pytest.raises(ProofMalformed) as caught:
            proofs.verify(DIGEST, false)
        assert caught.value.field == field
    with pytest.raises(ProofMalformed):
        proofs.verify(DIGEST[:31], proof)


def test_a_page_out_of_order_proves_nothing_even_under_its_own_root() -> None:
    """Unsorted and doubled entries are refused although the root was computed over them."""
    key = b"key 5"
    kh, vh = tree.key_hash(key), tree.value_hash(b"x")
    low, high = bytes(32) + vh, b"\xff" * 32 + vh
    for page in (high + low, kh + vh + kh + tree.value_hash(b"y"), low + low):
        root = personal_hash(b"leaf", page)
        for value in (None, b"x", b"y"):
            with pytest.raises(ProofMalformed, match="ascending"):
                proofs.verify(root, StateProof(key, value, (), page))


def test_an_entry_off_the_prefix_proves_nothing_even_under_its_own_root() -> None:
    """A page whose entries belong to another path is refused although everything folds to the root."""
    key = b"absent key"
    kh = tree.key_hash(key)
    stranger = bytes((kh[0] ^ 0x80,)) + kh[1:]
    page = stranger + tree.value_hash(b"x")
    unsigned = StateProof(key, None, (bytes(192),), page)
    root = proofs._fold(unsigned, kh)
    with pytest.raises(ProofMalformed, match="prefix"):
        proofs.verify(root, unsigned)


def test_the_empty_tree_proves_every_absence() -> None:
    """Thirty-two zero bytes are the root of nothing: no path, no page, and no value can be claimed."""
    proofs.verify(bytes(32), StateProof(b"any", None, (), b""))
    with pytest.raises(ProofRejected):
        proofs.verify(bytes(32), StateProof(b"any", b"", (), b""))


def test_crowded_key_hashes_fold_at_full_depth() -> None:
    """The longest path an attacker can cause, 63 nibbles, still folds to the root."""
    content = {(int("5" * 62, 16) << 8 | i).to_bytes(32, "big"): bytes(32) for i in range(256)}
    root = tree.build(content.items())
    for kh in content:
        path, page = tree.prove(root, kh)
        proof = StateProof(b"", None, path, page)
        assert len(path) == 63
        proofs._check_form(proof, kh)
        assert proofs._fold(proof, kh) == tree.digest(root) == model_digest(content)


def test_a_header_is_all_a_client_needs() -> None:
    """The root is read from the SCALE header, whose hash is checked against the one the client trusts."""
    header = header_of(DIGEST)
    proof = proof_of(b"key 5")
    proofs.verify_with_header(header, proof)
    assert proofs.state_root_of(header) == DIGEST
    with pytest.raises(ProofRejected, match="another hash"):
        proofs.verify_with_header(header, proof, bytes(32))
    with pytest.raises(ProofRejected):
        proofs.verify_with_header(header_of(bytes(32)), proof)
    for cut in (0, 31, 32, 35, 67, 99):
        with pytest.raises(ProofMalformed):
            proofs.verify_with_header(header[:cut], proof)


def test_the_wire_form_is_canonical() -> None:
    """A list of proofs survives encoding, and no other bytes decode to it."""
    many = [proof_of(b"key 1"), proof_of(b"none"), proof_of(b"key 0")]
    data = proofs.encode_proofs(many)
    assert proofs.decode_proofs(data) == many
    for wrong in (data + b"\x00", data[:-1], b"", b"\x0d\x00" + data[1:]):
        with pytest.raises(ProofMalformed):
            proofs.decode_proofs(wrong)
    with pytest.raises(ProofMalformed, match="option byte"):
        proofs.decode_proof(b"\x04k\x02" + bytes(8))
    with pytest.raises(ProofMalformed, match="above the limit"):
        proofs.decode_proofs((proofs.PROOFS_MAX + 1 << 2 | 1).to_bytes(2, "little"))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=600))
def test_no_bytes_crash_the_decoder(data: bytes) -> None:
    """Arbitrary bytes either decode to proofs that encode to the same bytes, or are malformed."""
    try:
        decoded = proofs.decode_proofs(data)
    except ProofMalformed:
        return
    assert proofs.encode_proofs(decoded) == data


def test_the_verifier_stands_alone() -> None:
    """The one file runs in an isolated interpreter that sees the standard library only."""
    source = Path(proofs.__file__ or "").read_text(encoding="utf-8")
    proof = proof_of(b"key 5")
    script = "\n".join(
        [
            "import sys, types",
            "module = types.ModuleType('proof'); sys.modules['proof'] = module",
            f"exec({source!r}, module.__dict__)",
            f"proof = module.decode_proof(bytes.fromhex({proofs.encode_proof(proof).hex()!r}))",
            f"module.verify(bytes.fromhex({DIGEST.hex()!r}), proof)",
            "print('verified')",
        ]
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-"], input=script, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("verified\n", "")
