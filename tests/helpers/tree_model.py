"""The state tree by its definition alone: a recursive function of the content, with nothing shared or cached."""

from hashlib import blake2b

ZERO = bytes(32)


def personal_hash(person: bytes, data: bytes) -> bytes:
    """blake2b-256 of the data in one of the tree's domains."""
    return blake2b(data, digest_size=32, person=person).digest()


def model_digest(content: dict[bytes, bytes], depth: int = 0) -> bytes:
    """The digest of the subtree that holds {key hash: value hash}, whose keys agree in `depth` nibbles."""
    if not content:
        return ZERO
    if len(content) <= 32:
        return personal_hash(b"leaf", b"".join(kh + content[kh] for kh in sorted(content)))
    parts: list[dict[bytes, bytes]] = [{} for _ in range(16)]
    for kh, vh in content.items():
        parts[int(kh.hex()[depth], 16)][kh] = vh
    children = [model_digest(part, depth + 1) for part in parts]
    quads = [personal_hash(b"node", b"".join(children[i : i + 4])) for i in (0, 4, 8, 12)]
    return personal_hash(b"node", b"".join(quads))
