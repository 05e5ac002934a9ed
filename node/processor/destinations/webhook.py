"""Results to a REST endpoint, by Standard Webhooks (https://www.standardwebhooks.com).

Each request carries `webhook-id` (the idempotency key: the same for every attempt, so that a receiver that got it
twice can tell), `webhook-timestamp` and `webhook-signature`, an HMAC-SHA256 over id, time and body. 2xx is success;
410 says that the endpoint is gone for good; other 4xx and redirects are permanent failures; 429, 5xx and no answer are
tried again, after Retry-After where it is given, within bounds. The egress guard applies.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

import trio
from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook

from node.processor.egress import EgressGuard
from node.processor.runtimes.spec import DestinationRefused, FetchFailed, FetchRequest

ATTEMPTS_MAX = 5
BACKOFF_MS = 1_000
WAIT_MS_MAX = 60_000
PAYLOAD_BYTES_MAX = 1 << 20
REPLY_BYTES_MAX = 64 * 1024
ID_CHARACTERS_MAX = 128
SECRET_BYTES_MIN = 24  # the specification's
SECRET_BYTES_MAX = 64
RETRIED_STATUSES = frozenset((408, 425, 429, 500, 502, 503, 504))


class DeliveryStatus(Enum):
    """How a delivery ended."""

    DELIVERED = "delivered"
    GONE = "gone"  # 410: never send there again
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery, with all its attempts. `http_status` is that of the last reply, None if there was none."""

    status: DeliveryStatus
    attempts: int
    http_status: int | None
    message: str


@dataclass(frozen=True, slots=True)
class WebhookEndpoint:
    """Where to send, and the shared secret (`whsec_` and base64)."""

    url: str
    secret: str


class WebhookInvalid(ValueError):
    """An argument is out of its bound; nothing was sent."""


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


def _signer(secret: str) -> Webhook:
    try:
        signer = Webhook(secret)
    except (ValueError, EmptyWebhookSecretError) as error:
        raise WebhookInvalid("secret is not whsec_ and base64") from error
    key = signer._whsecret  # noqa: SLF001 - the library has no other way to its length
    if not SECRET_BYTES_MIN <= len(key) <= SECRET_BYTES_MAX:
        raise WebhookInvalid(f"secret has {len(key)} bytes, allowed is {SECRET_BYTES_MIN}..{SECRET_BYTES_MAX}")
    return signer


def retry_after_ms(headers: tuple[tuple[str, str], ...]) -> int | None:
    """The wait a reply asks for in seconds; None if it asks for none. Dates are not read: they need its clock."""
    text = dict(headers).get("retry-after", "").strip()
    if not text.isascii() or not text.isdecimal() or len(text) > 6:
        return None
    return int(text) * 1000


async def deliver(
    guard: EgressGuard,
    endpoint: WebhookEndpoint,
    delivery_id: str,
    payload: str,
    *,
    now_ms: Callable[[], int] = _wall_ms,
    attempts_max: int = ATTEMPTS_MAX,
    backoff_ms: int = BACKOFF_MS,
    on_retry: Callable[[], None] = lambda: None,
) -> Delivery:
    """Send `payload` (JSON text) until a reply settles it or the attempts are used up.

    `delivery_id` is the idempotency key: the caller gives the same one for the same result, also after a restart.
    `on_retry` hears of each attempt that another follows. Raises WebhookInvalid for an argument out of its bound.
    Takes at most attempts_max times the guard's time-out, plus WAIT_MS_MAX between attempts.
    """
    if not 1 <= len(delivery_id) <= ID_CHARACTERS_MAX or not delivery_id.isascii() or not delivery_id.isprintable():
        raise WebhookInvalid(f"delivery_id must be 1..{ID_CHARACTERS_MAX} printable ASCII characters")
    if len(payload.encode()) > PAYLOAD_BYTES_MAX:
        raise WebhookInvalid(f"payload is longer than {PAYLOAD_BYTES_MAX} bytes")
    signer = _signer(endpoint.secret)
    http_status: int | None = None
    message = "no attempt"
    for attempt in range(1, attempts_max + 1):
        wait_ms = min(backoff_ms * 2 ** (attempt - 1), WAIT_MS_MAX)
        try:
            reply = await guard.send(_request(endpoint.url, signer, delivery_id, payload, now_ms()), REPLY_BYTES_MAX)
        except DestinationRefused as error:
            return Delivery(DeliveryStatus.FAILED, attempt, None, str(error))
        except FetchFailed as error:
            message = str(error)
        else:
            http_status, message = reply.status, f"HTTP {reply.status}"
            if 200 <= reply.status < 300:
                return Delivery(DeliveryStatus.DELIVERED, attempt, http_status, message)
            if reply.status == 410:
                return Delivery(DeliveryStatus.GONE, attempt, http_status, message)
            if reply.status not in RETRIED_STATUSES:
                return Delivery(DeliveryStatus.FAILED, attempt, http_status, message)
            asked_ms = retry_after_ms(reply.headers)
            wait_ms = min(asked_ms, WAIT_MS_MAX) if asked_ms is not None else wait_ms
        if attempt < attempts_max:
            on_retry()
            await trio.sleep(wait_ms / 1000)
    return Delivery(DeliveryStatus.FAILED, attempts_max, http_status, message)


def _request(url: str, signer: Webhook, delivery_id: str, payload: str, now_ms: int) -> FetchRequest:
    stamp = datetime.fromtimestamp(now_ms // 1000, tz=UTC)
    headers = (
        ("content-type", "application/json"),
        ("webhook-id", delivery_id),
        ("webhook-timestamp", str(now_ms // 1000)),
        ("webhook-signature", signer.sign(delivery_id, stamp, payload)),
    )
    return FetchRequest("POST", url, headers, payload.encode(), ())
