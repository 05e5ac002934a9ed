"""Why a node cannot use a Ray cluster; each message says what to do about it.

ClusterError
├── RayMissing          ray is not installed beside Heddle
├── ClusterUnreachable  nobody answers at the address, or not in time
├── TokenRefused        the cluster does not take the token
├── ClusterOpen         the cluster takes work from anyone, without a token
├── VersionDiffers      the cluster's Ray or Python is not ours
└── NoMachine           no machine of the cluster can run jobs
"""


class ClusterError(Exception):
    """The cluster cannot be used."""


class RayMissing(ClusterError):
    """Ray is not installed."""

    HINT = (
        "`pip install '.[ray]' -c constraints.txt -c constraints-extras.txt`, "
        "or `make extras` for an environment of its own"
    )

    def __init__(self) -> None:
        super().__init__(f"ray is not installed: {self.HINT}")


class ClusterUnreachable(ClusterError):
    """Nobody answers."""


class TokenRefused(ClusterError):
    """The wrong token."""


class ClusterOpen(ClusterError):
    """A cluster without tokens."""


class VersionDiffers(ClusterError):
    """Another Ray or Python."""


class NoMachine(ClusterError):
    """No machine can run jobs."""


KINDS: dict[str, type[ClusterError]] = {
    kind.__name__: kind for kind in (ClusterUnreachable, TokenRefused, ClusterOpen, VersionDiffers, NoMachine)
}
"""What the bridge may say, by the name it says it under."""


def error_of(kind: str, text: str) -> ClusterError:
    """The error that the bridge named; the cluster counts as unreachable for a reason that has no name."""
    return RayMissing() if kind == RayMissing.__name__ else KINDS.get(kind, ClusterUnreachable)(text)
