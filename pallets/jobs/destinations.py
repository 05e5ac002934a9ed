"""Where the output of a job may go. The chain itself always has it; the processor takes it to the others."""

from dataclasses import dataclass
from enum import Enum
from typing import Annotated

from pallets.jobs.fields import Label, Name, Url
from runtime.scale import U64, Fixed, SumType, variant
from runtime.types import Hash


class BitcoinNetwork(Enum):
    """Which chain of the Bitcoin family."""

    MAINNET = 0
    TESTNET = 1
    REGTEST = 2
    LITECOIN_REGTEST = 3


class Destination(SumType):
    """Where the output goes."""

    __slots__ = ()


@variant(0)
@dataclass(frozen=True, slots=True)
class Chain(Destination):
    """Heddle itself: digest and inline output on chain, a larger output as a blob. Always done."""


@variant(1)
@dataclass(frozen=True, slots=True)
class Webhook(Destination):
    """An HTTP endpoint, by the rules of Standard Webhooks."""

    url: Url


@variant(2)
@dataclass(frozen=True, slots=True)
class Ethereum(Destination):
    """A contract's `fulfill` on a chain with the Ethereum virtual machine."""

    chain_id: U64
    contract: Annotated[bytes, Fixed(20)]
    gas_max: U64


@variant(3)
@dataclass(frozen=True, slots=True)
class Tezos(Destination):
    """A contract's entry point on Tezos."""

    contract: Label | None
    entrypoint: Label


@variant(4)
@dataclass(frozen=True, slots=True)
class Bitcoin(Destination):
    """The digest in an OP_RETURN output."""

    network: BitcoinNetwork


@variant(5)
@dataclass(frozen=True, slots=True)
class Substrate(Destination):
    """`fulfill` on the chain with this genesis hash."""

    genesis_hash: Hash
    pallet: Label


@variant(6)
@dataclass(frozen=True, slots=True)
class Ipfs(Destination):
    """A file pinned in IPFS."""

    api_url: Url


@variant(7)
@dataclass(frozen=True, slots=True)
class ObjectStore(Destination):
    """An object in an S3 bucket."""

    endpoint_url: Url
    bucket: Name


@variant(8)
@dataclass(frozen=True, slots=True)
class FederatedLearning(Destination):
    """An update to a federated learning server."""

    url: Url


@variant(9)
@dataclass(frozen=True, slots=True)
class Solana(Destination):
    """An instruction to a program on Solana."""

    program: Annotated[bytes, Fixed(32)]
