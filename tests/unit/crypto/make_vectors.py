"""Makes runtime/crypto_vectors.py: the pinned edge cases of the three signature schemes.

Run by hand (`python tests/unit/crypto/make_vectors.py > runtime/crypto_vectors.py`), never by the tests: the committed
table is the rule. What is expected of each case is said here, from the arithmetic; the library is then asked and must
agree.
"""

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

import sr25519
from coincurve import PrivateKey, PublicKey

from runtime import crypto
from runtime.hashing import blake2b256

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)
Point = tuple[int, int]
Case = tuple[str, bool, bytes, bytes, bytes]


def add(a: Point, b: Point) -> Point:
    """Edwards addition, complete on this curve."""
    t = D * a[0] * b[0] * a[1] * b[1] % P
    x = (a[0] * b[1] + b[0] * a[1]) * pow(1 + t, P - 2, P)
    y = (a[1] * b[1] + a[0] * b[0]) * pow(1 - t, P - 2, P)
    return x % P, y % P


def times(n: int, point: Point) -> Point:
    """`point` n times, by doubling."""
    total: Point = (0, 1)
    while n:
        if n & 1:
            total = add(total, point)
        point = add(point, point)
        n >>= 1
    return total


def lift(y: int, odd: int) -> Point | None:
    """The point with this y and this parity of x, if there is one."""
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * ROOT_OF_MINUS_ONE % P
    if x * x % P != square:
        return None
    return (P - x if x and x & 1 != odd else x), y % P


def pack(point: Point, extra: int = 0) -> bytes:
    """The encoding; `extra` is added to y (p makes it non-canonical) or is the sign bit."""
    return (point[1] + extra | (point[0] & 1) << 255).to_bytes(32, "little")


BASE = cast("Point", lift(4 * pow(5, P - 2, P) % P, 0))


def torsion() -> list[Point]:
    """The eight points of small order, as multiples of one of order 8."""
    y = 2
    while True:
        point = lift(y, 0)
        y += 1
        if point is None:
            continue
        small = times(L, point)
        if times(4, small) != (0, 1):
            return [times(n, small) for n in range(8)]


def challenge(r: bytes, public: bytes, message: bytes) -> int:
    """H(R ‖ A ‖ M) as a scalar."""
    return int.from_bytes(hashlib.sha512(r + public + message).digest(), "little") % L


def secret(n: int) -> int:
    """A scalar that depends on n only."""
    return int.from_bytes(hashlib.sha512(b"heddle vectors %d" % n).digest(), "little") % L


def flip(data: bytes, bit: int) -> bytes:
    """`data` with one bit changed."""
    return bytes(byte ^ (1 << bit % 8 if i == bit // 8 else 0) for i, byte in enumerate(data))


def sign(
    a: int, r: int, message: bytes, public: bytes | None = None, nonce: bytes | None = None
) -> tuple[bytes, bytes]:
    """(A, R ‖ S) from the scalars, with A and R replaceable by other encodings."""
    public = public or pack(times(a, BASE))
    nonce = nonce or pack(times(r, BASE))
    s = (r + challenge(nonce, public, message) * a) % L
    return public, nonce + s.to_bytes(32, "little")


def ed25519_cases() -> Iterator[Case]:
    """Strictness, small order, cofactor, encodings, lengths, flipped bits."""
    a, r = secret(1), secret(2)
    for length in (0, 1, 31, 64, 127, 300):
        public, signature = sign(a, r + length, b"m" * length)
        yield f"valid, message of {length}", True, public, b"m" * length, signature
    message = b"heddle"
    public, good = sign(a, r, message)
    s = int.from_bytes(good[32:], "little")
    for name, value in (
        ("S + L", s + L),
        ("S + 8 L", s + 8 * L),
        ("S = L", L),
        ("S with bit 255", s | 1 << 255),
        ("S all ones", 2**256 - 1),
        ("S = 0", 0),
        ("L - S", L - s),
    ):
        yield name, False, public, message, good[:32] + value.to_bytes(32, "little")
    small = torsion()
    for n, point in enumerate(small):
        yield f"A small order {n}, R = A, S = 0", False, pack(point), message, pack(point) + bytes(32)
        yield f"R small order {n}, equation holds", False, *sequence(sign(a, 0, message, nonce=pack(point)), message)
    for n in (1, 2, 4, 5):
        mixed = pack(add(times(r, BASE), small[n]))
        yield f"R with a part of order {n}", False, *sequence(sign(a, r, message, nonce=mixed), message)
    key = pack(add(times(a, BASE), small[1]))
    for wanted in (False, True):
        yield mixed_key_case(a, r, key, wanted)
    yield "A = (0, 1), y + p", False, pack((0, 1), P), message, pack((0, 1)) + bytes(32)
    yield "A = (0, 1), sign bit set", False, flip(pack((0, 1)), 255), message, pack((0, 1)) + bytes(32)
    yield "A = (0, -1), sign bit set", False, flip(pack((0, P - 1)), 255), message, pack((0, 1)) + bytes(32)
    yield "R = (0, 1), y + p", False, *sequence(sign(a, 0, message, nonce=pack((0, 1), P)), message)
    yield "A = p", False, P.to_bytes(32, "little"), message, good
    yield "A all ones", False, b"\xff" * 32, message, good
    off = next(y for y in range(2, 99) if lift(y, 0) is None)
    yield "A off the curve", False, off.to_bytes(32, "little"), message, good
    yield "R off the curve", False, public, message, off.to_bytes(32, "little") + good[32:]
    yield "zero key, zero signature", False, bytes(32), message, bytes(64)
    yield "zero key, good signature", False, bytes(32), message, good
    yield "zero signature", False, public, message, bytes(64)
    yield "R and S exchanged", False, public, message, good[32:] + good[:32]
    yield "A negated", False, flip(public, 255), message, good
    yield "R negated", False, public, message, flip(good, 255)
    yield from shared_cases(public, message, good)


def sequence(pair: tuple[bytes, bytes], message: bytes) -> tuple[bytes, bytes, bytes]:
    """(A, signature) and the message in the order of a case."""
    return pair[0], message, pair[1]


def mixed_key_case(a: int, r: int, key: bytes, divisible: bool) -> Case:
    """A with a part of order 8: without a cofactor the signature holds only if the challenge is divisible by 8."""
    nonce = pack(times(r, BASE))
    for n in range(999):
        message = b"try %d" % n
        if (challenge(nonce, key, message) % 8 == 0) == divisible:
            public, signature = sign(a, r, message, public=key)
            name = f"A with a part of order 8, challenge {'=' if divisible else '!'}= 0 mod 8"
            return name, divisible, public, message, signature
    raise AssertionError("no message found")


def shared_cases(public: bytes, message: bytes, good: bytes) -> Iterator[Case]:
    """Flipped bits and wrong lengths, for every scheme."""
    yield "the good one", True, public, message, good
    for bit in (0, 7, 100, 200, 256, 300, 400, 500):
        yield f"signature bit {bit} flipped", False, public, message, flip(good, bit)
    for bit in (0, 77, 254):
        yield f"key bit {bit} flipped", False, flip(public, bit), message, good
    yield "message bit flipped", False, public, flip(message, 3), good
    yield "message longer", False, public, message + b"\0", good
    yield "message empty", False, public, b"", good
    yield "signature short", False, public, message, good[:-1]
    yield "signature long", False, public, message, good + b"\0"
    yield "signature empty", False, public, message, b""
    yield "key short", False, public[:-1], message, good
    yield "key long", False, public + b"\0", message, good


def sr25519_cases() -> Iterator[Case]:
    """The schnorrkel marker, canonical scalars, ristretto encodings, the zero key, the wrapper of browser wallets."""
    pair = sr25519.pair_from_seed(hashlib.sha256(b"heddle vectors").digest())
    other = sr25519.pair_from_seed(hashlib.sha256(b"heddle vectors 2").digest())
    public, message = pair[0], b"heddle"
    for length in (0, 1, 31, 64, 127, 300):
        yield f"valid, message of {length}", True, public, b"m" * length, sr25519.sign(pair, b"m" * length)
    wrapped = b"<Bytes>heddle</Bytes>"
    yield "wrapped, and the message is the wrapped one", True, public, wrapped, sr25519.sign(pair, wrapped)
    yield "wrapped by the wallet only", False, public, message, sr25519.sign(pair, wrapped)
    good = sr25519.sign(pair, message)
    yield "wrapped by the verifier only", False, public, wrapped, good
    s = int.from_bytes(good[32:], "little") & ~(1 << 255)
    for name, value in (
        ("S + L", s + L),
        ("S = L", L),
        ("S all ones", 2**256 - 1),
        ("S = 0", 0),
        ("L - S", L - s),
        ("S bit 254", s | 1 << 254),
    ):
        yield name, False, public, message, good[:32] + (value | 1 << 255).to_bytes(32, "little")
    yield "no schnorrkel marker", False, public, message, flip(good, 511)
    for key_name, key in (("zero key", bytes(32)), ("a key", public)):
        for text in (b"", message, b"m" * 64):
            yield f"R = 0, S = 0, {key_name}, message of {len(text)}", False, key, text, bytes(63) + b"\x80"
    yield "zero key, good signature", False, bytes(32), message, good
    yield "key of another", False, other[0], message, good
    yield "signature of another", False, public, message, sr25519.sign(other, message)
    for name, value in (
        ("p", P),
        ("p + 1", P + 1),
        ("1", 1),
        ("-1", P - 1),
        ("all ones", 2**256 - 1),
        ("2", 2),
        ("3", 3),
        ("2^255", 1 << 255),
    ):
        yield f"key encodes {name}", False, value.to_bytes(32, "little"), message, good
        yield f"R encodes {name}", False, public, message, value.to_bytes(32, "little") + good[32:]
    for n, point in enumerate(torsion()):
        if n:
            yield f"key is an Edwards point of small order {n}", False, pack(point), message, bytes(63) + b"\x80"
    yield "R and S exchanged", False, public, message, good[32:] + good[:32]
    yield from shared_cases(public, message, good)


N = crypto.SECP256K1_ORDER
FIELD = 2**256 - 2**32 - 977
BASE_X = 0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798


def ecdsa_cases() -> Iterator[Case]:
    """Low s, the recovery id, ranges of r and s, recovery that fails or gives another account."""
    key = PrivateKey(hashlib.sha256(b"heddle vectors").digest())
    account = blake2b256(key.public_key.format())
    for length in (0, 1, 31, 64, 127, 300):
        yield f"valid, message of {length}", True, account, b"m" * length, recoverable(key, b"m" * length)
    by_id = {good[64]: (text, good) for n in range(32) for text in [b"try %d" % n] for good in [recoverable(key, text)]}
    for v, (text, good) in sorted(by_id.items()):
        yield f"valid, v = {v}", True, account, text, good
        yield f"v = {v} exchanged", False, account, text, good[:64] + bytes((v ^ 1,))
        yield f"high s, v = {v}", False, account, text, with_s(good, N - s_of(good), v ^ 1)
        yield f"high s, same v = {v}", False, account, text, with_s(good, N - s_of(good), v)
        for value in (v + 2, v + 27, v + 31, 128 + v, 255):
            yield f"v = {value}, {v} would be good", False, account, text, good[:64] + bytes((value,))
    message = b"heddle"
    good = recoverable(key, message)
    v = good[64]
    for name, value in (
        ("0", 0),
        ("1", 1),
        ("N/2", N // 2),
        ("N/2 + 1", N // 2 + 1),
        ("N - 1", N - 1),
        ("N", N),
        ("all ones", 2**256 - 1),
    ):
        yield f"s = {name}", False, account, message, with_s(good, value, v)
    for name, value in (
        ("0", 0),
        ("1", 1),
        ("5, no point", 5),
        ("N - 1", N - 1),
        ("N", N),
        ("p", FIELD),
        ("all ones", 2**256 - 1),
    ):
        yield f"r = {name}", False, account, message, value.to_bytes(32, "big") + good[32:]
    yield infinity_case(account)
    yield from large_x_cases()
    yield "zero account, good signature", False, bytes(32), message, good
    yield "zero account, zero signature", False, bytes(32), message, bytes(65)
    yield "account is the key's x", False, key.public_key.format()[1:], message, good
    yield (
        "account is the hash of the long key",
        False,
        blake2b256(key.public_key.format(compressed=False)),
        message,
        good,
    )
    yield "account is another's", False, blake2b256(PrivateKey(b"\1" * 32).public_key.format()), message, good
    yield "message hashed with sha256", False, account, message, key.sign_recoverable(message)
    yield "message hashed twice", False, account, message, recoverable(key, blake2b256(message))
    yield "r and s exchanged", False, account, message, good[32:64] + good[:32] + good[64:]
    yield "v first", False, account, message, good[64:] + good[:64]
    yield "64 bytes without v", False, account, message, good[:64]
    yield from shared_cases(account, message, good)


def recoverable(key: PrivateKey, message: bytes) -> bytes:
    """The signature r ‖ s ‖ v as Substrate makes it."""
    return key.sign_recoverable(blake2b256(message), hasher=None)


def s_of(signature: bytes) -> int:
    """The scalar s."""
    return int.from_bytes(signature[32:64], "big")


def with_s(signature: bytes, s: int, v: int) -> bytes:
    """The signature with another s and v."""
    return signature[:32] + s.to_bytes(32, "big") + bytes((v,))


def infinity_case(account: bytes) -> Case:
    """With r = x(G), s = z the recovered key is (sG - zG)/r, the point at infinity."""
    message = next(
        text for n in range(99) for text in [b"try %d" % n] if int.from_bytes(blake2b256(text), "big") <= N // 2
    )
    return "recovers infinity", False, account, message, BASE_X.to_bytes(32, "big") + blake2b256(message) + b"\0"


def large_x_cases() -> Iterator[Case]:
    """Signatures whose R has x = r + N, recovery id 2 or 3: they recover a key, and are refused all the same."""
    message = b"heddle"
    r = next(r for r in range(1, 99) if pow((r + N) ** 3 + 7, (FIELD - 1) // 2, FIELD) == 1)
    for v in (2, 3):
        signature = r.to_bytes(32, "big") + (1).to_bytes(32, "big") + bytes((v,))
        key = PublicKey.from_signature_and_message(signature, blake2b256(message), hasher=None)
        yield f"recovers a key with v = {v}", False, blake2b256(key.format()), message, signature


HEAD = '''"""Edge cases of the signature schemes: scheme, what verify must say, key, message, signature | name.

Made once by tests/unit/crypto/make_vectors.py; the table is consensus and changes only with a spec version.
"""

# ruff: noqa: E501 - one case a line, so that a difference shows as one line

'''


def main() -> None:
    """Prints the module."""
    rows = []
    for scheme, cases in ((0, ed25519_cases()), (1, sr25519_cases()), (2, ecdsa_cases())):
        for name, expected, public, message, signature in cases:
            got = crypto.verify(scheme, public, message, signature)
            if got != expected:
                raise SystemExit(f"{scheme} {name}: expected {expected}")
            fields = [part.hex() or "-" for part in (public, message, signature)]
            rows.append(" ".join([str(scheme), "good" if expected else "bad ", *fields, "|", name]))
    sys.stdout.write(HEAD + 'TABLE = """\\\n' + "\n".join(rows) + '\n"""\n')


if __name__ == "__main__":
    main()
