"""What a webhook is told of a result, and the delivery itself as the watcher asks for it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from node.blobs import cid_of, cid_text
from node.keys.pair import Pair
from node.processor.destinations.webhook import ATTEMPTS_MAX, DeliveryStatus, WebhookEndpoint, WebhookInvalid, deliver
from node.processor.egress import EgressGuard
from node.processor.journal import REFERENCE_BYTES_MAX
from runtime.hashing import blake2b256, personal

INLINE_BYTES_MAX = 256 << 10
"""Larger outputs are named by their CID only; the receiver fetches the blob from any node."""
_secret = personal(b"heddle/webhook")


class DestinationFailed(Exception):
    """A destination did not take the output: at once for good (`refused`), or after all retries."""

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused


def webhook_secret(pair: Pair, url: str) -> str:
    """The secret that this processor shares with one host: `whsec_` and base64. Its operator hands it out."""
    host = urlsplit(url).netloc.lower().encode()
    return "whsec_" + base64.b64encode(_secret(pair.secret + host)).decode()


def result_payload(job: bytes, execution: int, digest: bytes, output: bytes) -> str:
    """The JSON body: job hash, execution, result digest, the output's CID and size, and the output if it is small."""
    body: dict[str, Any] = {
        "type": "heddle.result",
        "job": "0x" + job.hex(),
        "execution": execution,
        "digest": "0x" + digest.hex(),
        "cid": cid_text(cid_of(output)),
        "bytes": len(output),
    }
    if len(output) <= INLINE_BYTES_MAX:
        try:
            body["output"] = output.decode()
        except UnicodeDecodeError:
            body["output_base64"] = base64.b64encode(output).decode()
    return json.dumps(body, separators=(",", ":"))


class WebhookSender:
    """Delivers through the egress guard, signed with the processor's secret for the host."""

    def __init__(self, guard: EgressGuard, pair: Pair) -> None:
        self.guard = guard
        self.pair = pair
        self.on_retry: Callable[[], None] = lambda: None

    async def send(self, url: str, delivery_id: str, payload: str) -> bytes:
        """The receipt: a hash over id and reply status. Raises DestinationFailed."""
        try:
            endpoint = WebhookEndpoint(url, webhook_secret(self.pair, url))
            done = await deliver(self.guard, endpoint, delivery_id, payload, on_retry=self.on_retry)
        except WebhookInvalid as error:
            raise DestinationFailed(str(error), refused=True) from error
        if done.status is not DeliveryStatus.DELIVERED:
            refused = done.attempts < ATTEMPTS_MAX
            raise DestinationFailed(f"{urlsplit(url).netloc}: {done.message}", refused=refused)
        receipt = blake2b256(f"{delivery_id}:{done.http_status}".encode())
        return receipt[:REFERENCE_BYTES_MAX]
