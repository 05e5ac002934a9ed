"""Bounded texts and bytes that the records of jobs share."""

from typing import Annotated

from pallets.jobs import bounds
from runtime.scale import Bounded, Fixed
from runtime.types import AccountId

Cid = Annotated[bytes, Bounded(bounds.CID_BYTES_MAX)]
Label = Annotated[str, Bounded(bounds.LABEL_BYTES_MAX)]
Name = Annotated[str, Bounded(bounds.NAME_BYTES_MAX)]
Url = Annotated[str, Bounded(bounds.URL_BYTES_MAX)]
NameTag = Annotated[bytes, Fixed(16)]
"""An environment name as the chain has it: a keyed hash that only holders of the job's secret key can recompute."""
Accounts = Annotated[tuple[AccountId, ...], Bounded(bounds.PROCESSORS_LISTED_MAX)]
