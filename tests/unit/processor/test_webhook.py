"""Webhooks against a real receiver that checks them with the standardwebhooks library."""

import base64
import functools
from collections.abc import Callable

import pytest
import trio
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from node.keys.pair import dev_pair
from node.processor.destinations.sender import DestinationFailed, WebhookSender
from node.processor.destinations.webhook import (
    Delivery,
    DeliveryStatus,
    WebhookEndpoint,
    WebhookInvalid,
    deliver,
    retry_after_ms,
)
from node.processor.egress import EgressGuard
from tests.helpers.http_receiver import Receiver, Reply, Seen, receiver

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
PAYLOAD = '{"job":"ab","result":"ö"}'


def send(server: Receiver, attempts_max: int = 5) -> Delivery:
    """Deliver PAYLOAD to the server, which the operator has allowed, without waiting between attempts."""
    guard = EgressGuard(allowed=[server.pair])
    endpoint = WebhookEndpoint(server.url("/hook"), SECRET)
    once = functools.partial(deliver, guard, endpoint, "delivery-1", PAYLOAD, attempts_max=attempts_max, backoff_ms=0)
    return trio.run(once)


def statuses(*codes: int) -> Callable[[Seen, int], Reply]:
    """Answers with the codes in turn, each asking for no wait."""
    return lambda _request, count: Reply(codes[count], {"Retry-After": "0"})


def test_a_delivery_verifies() -> None:
    """The receiver verifies id, time and body with the shared secret; another secret or body does not verify."""
    with receiver(statuses(204)) as server:
        assert send(server) == Delivery(DeliveryStatus.DELIVERED, 1, 204, "HTTP 204")
        [seen] = server.seen
        assert (seen.method, seen.path, seen.body.decode()) == ("POST", "/hook", PAYLOAD)
        assert seen.headers["webhook-id"] == "delivery-1"
        assert Webhook(SECRET).verify(seen.body, seen.headers)["job"] == "ab"
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(seen.body + b" ", seen.headers)
        with pytest.raises(WebhookVerificationError):
            Webhook("whsec_" + base64.b64encode(bytes(32)).decode()).verify(seen.body, seen.headers)


def test_retries_keep_the_idempotency_key() -> None:
    """503 and 429 are tried again under the same id until a 2xx comes."""
    with receiver(statuses(503, 429, 200)) as server:
        assert send(server) == Delivery(DeliveryStatus.DELIVERED, 3, 200, "HTTP 200")
        assert {seen.headers["webhook-id"] for seen in server.seen} == {"delivery-1"}
        for seen in server.seen:
            Webhook(SECRET).verify(seen.body, seen.headers)


def test_attempts_are_bounded() -> None:
    """A receiver that is never ready ends the delivery as failed after the last attempt."""
    with receiver(lambda _request, _count: Reply(503)) as server:
        assert send(server, attempts_max=3) == Delivery(DeliveryStatus.FAILED, 3, 503, "HTTP 503")
        assert len(server.seen) == 3


FINAL = {410: DeliveryStatus.GONE, **dict.fromkeys((400, 401, 301, 302, 307), DeliveryStatus.FAILED)}


@pytest.mark.parametrize(("code", "status"), FINAL.items())
def test_final_answers_are_not_retried(code: int, status: DeliveryStatus) -> None:
    """410, other client errors and redirects settle the delivery at once; no redirect is followed."""
    with receiver(lambda _request, _count: Reply(code, {"Location": "/elsewhere"})) as server:
        assert send(server) == Delivery(status, 1, code, f"HTTP {code}")
        assert len(server.seen) == 1


def test_no_connection_is_retried() -> None:
    """An endpoint where nobody listens is tried the given number of times."""
    with receiver(statuses(200)) as server:
        gone = server
    delivery = send(gone, attempts_max=2)
    assert (delivery.status, delivery.attempts, delivery.http_status) == (DeliveryStatus.FAILED, 2, None)


@pytest.mark.parametrize(
    ("codes", "refused", "retries"),
    [((503, 400), True, 1), ((410,), True, 0), ((503,) * 5, False, 4)],
    ids=["told no", "gone", "never ready"],
)
def test_a_failed_delivery_says_whether_it_was_refused(codes: tuple[int, ...], refused: bool, retries: int) -> None:
    """A final answer is a refusal, five that ask for patience are not; each repeated attempt is heard of."""
    heard: list[None] = []
    with receiver(statuses(*codes)) as server:
        sender = WebhookSender(EgressGuard(allowed=[server.pair]), dev_pair("Alice"))
        sender.on_retry = lambda: heard.append(None)
        with pytest.raises(DestinationFailed) as caught:
            trio.run(sender.send, server.url("/hook"), "delivery-1", PAYLOAD)
    assert (caught.value.refused, len(heard)) == (refused, retries)


def test_a_private_endpoint_is_refused() -> None:
    """Without the operator's word a webhook does not reach this machine."""
    with receiver(statuses(200)) as server:
        endpoint = WebhookEndpoint(server.url(), SECRET)
        delivery = trio.run(deliver, EgressGuard(), endpoint, "id", "{}")
        assert (delivery.status, delivery.attempts) == (DeliveryStatus.FAILED, 1)
        assert "not a public address" in delivery.message
        assert server.seen == []


def test_a_long_reply_is_cut_off() -> None:
    """A receiver that answers without end does not keep the processor: the reply's cap ends the attempt."""
    with receiver(lambda _request, _count: Reply(200, body=b"x" * (1 << 17))) as server:
        delivery = send(server, attempts_max=1)
        assert delivery.status is DeliveryStatus.FAILED
        assert "longer than 65536" in delivery.message


def test_retry_after() -> None:
    """Retry-After is read as whole seconds; anything else counts as not given."""
    assert retry_after_ms((("retry-after", "12"),)) == 12_000
    for text in ("", "-1", "1.5", "Wed, 21 Oct 2026 07:28:00 GMT", "9999999", "²"):
        assert retry_after_ms((("retry-after", text),)) is None


def test_arguments_out_of_bounds() -> None:
    """A bad id, secret or payload is refused before anything is sent."""
    guard = EgressGuard()
    for secret, delivery_id, payload in [
        (SECRET, "", "{}"),
        (SECRET, "a\nb", "{}"),
        (SECRET, "x" * 129, "{}"),
        ("whsec_AAAA", "id", "{}"),
        ("", "id", "{}"),
        (SECRET, "id", "x" * ((1 << 20) + 1)),
    ]:
        with pytest.raises(WebhookInvalid):
            trio.run(deliver, guard, WebhookEndpoint("https://a.test/", secret), delivery_id, payload)
