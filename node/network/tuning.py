"""The one place where py-libp2p is imported first: version, quiet loggers, yamux constants, accepted identity keys.

Stock 0.8.1 must not be exposed (reference/libp2p.md). We take its Noise, yamux, multistream and peer ids, and none of
its Host and Swarm: docs/adr says why. What follows holds for exactly this version, hence the check.
"""

import logging
import os
from importlib.metadata import version

# Read by yamux at call time: credit for the window is returned in large steps, not for each read.
os.environ["PY_YAMUX_RELEASE_ON_READ"] = "0"

from libp2p.crypto import serialization
from libp2p.crypto.ed25519 import Ed25519PublicKey
from libp2p.crypto.keys import KeyType, PublicKey
from libp2p.exceptions import BaseLibp2pError
from libp2p.stream_muxer.yamux import yamux

LIBP2P_VERSION = "0.8.1"
YAMUX_FRAME_BYTES_MAX = 65519  # header and payload fill one Noise message: 65535 - 16 of tag
YAMUX_WINDOW_BYTES_MAX = 4 << 20
_ED25519_BYTES = 32
_QUIET = logging.CRITICAL + 1


class UnsupportedLibp2p(RuntimeError):
    """The installed py-libp2p is not the version that the hardening was written and tested for."""


def _ed25519_only(key_bytes: bytes) -> PublicKey:
    """An RSA identity could name an exponent that takes minutes to verify: one key type is enough."""
    if len(key_bytes) != _ED25519_BYTES:
        raise ValueError(f"an ed25519 key has {_ED25519_BYTES} bytes, this one {len(key_bytes)}")
    return Ed25519PublicKey.from_bytes(key_bytes)


def prepare_libp2p() -> None:
    """Check the version and set what is global in the library. Raises UnsupportedLibp2p. May be called again."""
    installed = version("libp2p")
    if installed != LIBP2P_VERSION:
        raise UnsupportedLibp2p(f"libp2p {installed} is installed, exactly {LIBP2P_VERSION} is supported")
    logger = logging.getLogger("libp2p")
    if not any(isinstance(handler, logging.NullHandler) for handler in logger.handlers):
        logger.addHandler(logging.NullHandler())
    # Its log lines carry text of peers and come one per frame; what an operator needs is logged by our own modules.
    logger.setLevel(_QUIET)
    logger.propagate = False
    yamux.MAX_MESSAGE_SIZE = YAMUX_FRAME_BYTES_MAX
    yamux.MAX_WINDOW_SIZE = YAMUX_WINDOW_BYTES_MAX
    accepted = serialization.key_type_to_public_key_deserializer
    accepted.clear()
    accepted[KeyType.Ed25519.value] = _ed25519_only


STREAM_ERRORS = (BaseLibp2pError, OSError)
"""What use of a stream or connection raises when the peer or the wire fails."""
