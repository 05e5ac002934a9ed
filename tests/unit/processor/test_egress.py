"""The egress guard: what a job's request may reach, and what it may cost."""

import functools

import pytest
import trio

from node.processor.egress import EgressGuard, EgressLimits, address_refused, parse_pair
from node.processor.runtimes.grants import RequestInvalid, destination, granted, parse_request
from node.processor.runtimes.spec import DestinationRefused, FetchFailed, FetchReply, FetchRequest
from tests.helpers.http_receiver import Reply, Seen, receiver


def words(text: str) -> list[str]:
    """The words of a text, for a list that reads as one."""
    return text.split()


REFUSED_ADDRESSES = words("""
    0.0.0.0 10.1.2.3 100.64.0.1 127.0.0.1 127.255.255.254 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 192.0.2.1
    192.88.99.1 192.168.1.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255
    :: ::1 ::ffff:127.0.0.1 ::ffff:8.8.8.8 ::7f00:1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::1 100::1 2001::1
    2001:db8::1 2002:7f00:1:: 2002:808:808:: 3fff::1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%eth0 fec0::1 ff02::1 4000::1
    localhost nonsense 1.2.3 0x7f000001
""")
PUBLIC_ADDRESSES = words("""
    1.1.1.1 8.8.8.8 172.32.0.1 192.0.1.1 223.255.255.255 2606:4700::1111 2a00::1 64:ff9b::808:808
""")


def test_addresses() -> None:
    """Only public unicast addresses pass; what carries a private one inside does not."""
    assert [text for text in REFUSED_ADDRESSES if not address_refused(text)] == []
    assert [text for text in PUBLIC_ADDRESSES if address_refused(text)] == []


def ask(
    guard: EgressGuard,
    url: str,
    hosts: tuple[str, ...],
    method: str = "GET",
    headers: tuple[tuple[str, str], ...] = (),
    body: bytes = b"",
) -> FetchReply:
    """One fetch of a job that is granted `hosts`."""
    return trio.run(guard.fetch, FetchRequest(method, url, headers, body, hosts))


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["169.254.169.254"], ["::1"], ["::ffff:10.0.0.1"], ["1.1.1.1", "10.0.0.1"]],
)
def test_a_name_with_a_private_address_is_refused(addresses: list[str]) -> None:
    """A name is refused if any of its addresses is not public, without a connection."""

    async def resolve(host: str, port: int) -> list[str]:
        return addresses

    guard = EgressGuard(resolve=resolve)
    with pytest.raises(DestinationRefused):
        ask(guard, "http://a.test/", ("a.test",))


@pytest.mark.parametrize(
    "url",
    words("""
        http://127.0.0.1:{port}/ http://localhost:{port}/ http://2130706433:{port}/ http://127.1:{port}/
        http://0x7f.0.0.1:{port}/ http://[::ffff:127.0.0.1]:{port}/ http://0:{port}/
    """),
)
def test_spellings_of_loopback_are_refused(url: str) -> None:
    """However loopback is written, the system's own resolution of it is checked, and the server is not reached."""
    with receiver(lambda _request, _count: Reply()) as server:
        full = url.format(port=server.port)
        _, host, port = destination(full)
        with pytest.raises(DestinationRefused):
            ask(EgressGuard(), full, (f"[{host}]:{port}" if ":" in host else f"{host}:{port}",))
        assert server.seen == []


def test_an_allowed_pair_passes_and_no_other() -> None:
    """The operator's exact host:port is reached; another port of the host, and another name of the address, are not."""
    with receiver(lambda _request, _count: Reply(200, {"X-Answer": "yes"}, b"body")) as server:
        guard = EgressGuard(allowed=[server.pair])
        reply = ask(guard, server.url("/path?q=1"), (server.pair,), method="POST", body=b"ask", headers=(("x-a", "1"),))
        assert (reply.status, reply.body) == (200, b"body")
        assert ("x-answer", "yes") in reply.headers
        [seen] = server.seen
        assert (seen.method, seen.path, seen.body, seen.headers["x-a"]) == ("POST", "/path?q=1", b"ask", "1")
        assert seen.headers["host"] == server.pair
        with pytest.raises(DestinationRefused):
            ask(guard, "http://127.0.0.1:9/", ("127.0.0.1:9",))
        with pytest.raises(DestinationRefused):
            ask(guard, f"http://localhost:{server.port}/", (f"localhost:{server.port}",))
        assert len(server.seen) == 1


def test_a_name_is_resolved_once_for_a_connection() -> None:
    """The checked address is the one connected to: a name service that answers anew cannot swap it."""
    with receiver(lambda _request, _count: Reply(body=b"ok")) as server:
        answers = [["127.0.0.1"], ["169.254.169.254"]]
        calls: list[str] = []

        async def resolve(host: str, port: int) -> list[str]:
            calls.append(host)
            return answers.pop(0)

        pair = f"a.test:{server.port}"
        assert ask(EgressGuard([pair], resolve), f"http://{pair}/", (pair,)).body == b"ok"
        assert calls == ["a.test"]


def test_redirects_are_checked_again() -> None:
    """A redirect is followed to what is granted and allowed; to what is either not, the request is refused."""

    def answer(request: Seen, _count: int) -> Reply:
        if request.path == "/end":
            return Reply(body=b"end")
        return Reply(302, {"Location": request.path.removeprefix("/to/") if "/to/" in request.path else "/end"})

    with receiver(answer) as server, receiver(lambda _request, _count: Reply(body=b"secret")) as private:
        guard = EgressGuard(allowed=[server.pair])
        assert ask(guard, server.url("/start"), (server.pair,)).body == b"end"
        with pytest.raises(DestinationRefused):  # granted, not allowed
            ask(guard, server.url(f"/to/{private.url()}"), (server.pair, private.pair))
        with pytest.raises(DestinationRefused):  # not granted
            ask(guard, server.url("/to/http://b.test/"), (server.pair,))
        with pytest.raises(FetchFailed):  # no scheme of ours
            ask(guard, server.url("/to/file:///etc/passwd"), (server.pair,))
        assert private.seen == []


def test_redirects_end() -> None:
    """A circle of redirects ends after a few, and a POST turned away by 303 comes back as a GET without its body."""
    with receiver(lambda _request, _count: Reply(303, {"Location": "/again"})) as server:
        with pytest.raises(FetchFailed, match="redirects"):
            ask(EgressGuard([server.pair]), server.url(), (server.pair,), method="POST", body=b"x")
        assert [seen.method for seen in server.seen] == ["POST", *["GET"] * 5]
        assert server.seen[1].body == b""


def test_credentials_stay_with_their_host() -> None:
    """A redirect to another host goes without authorization and cookies."""
    targets: list[str] = []
    with (
        receiver(lambda _request, _count: Reply()) as other,
        receiver(lambda _request, _count: Reply(307, {"Location": targets[0]})) as server,
    ):
        targets.append(other.url())
        headers = (("authorization", "secret"), ("x-kept", "1"))
        ask(EgressGuard([server.pair, other.pair]), server.url(), (server.pair, other.pair), headers=headers)
        assert server.seen[0].headers["authorization"] == "secret"
        assert "authorization" not in other.seen[0].headers
        assert other.seen[0].headers["x-kept"] == "1"


def test_replies_are_capped_in_size_and_time() -> None:
    """A reply over the cap, with or without a length, and a reply that does not come in time, fail with the reason."""
    with receiver(lambda request, _count: Reply(body=b"x" * 5000, length=request.path == "/long")) as server:
        guard = EgressGuard([server.pair], limits=EgressLimits(reply_bytes_max=4096))
        for path in ("/long", "/unending"):
            with pytest.raises(FetchFailed, match="longer than 4096"):
                ask(guard, server.url(path), (server.pair,))

    async def silent() -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        pair = f"127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        guard = EgressGuard([pair], limits=EgressLimits(timeout_ms=200))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(functools.partial(trio.serve_listeners, _hold, listeners))
            with pytest.raises(FetchFailed, match="within 200 ms"):
                await guard.fetch(FetchRequest("GET", f"http://{pair}/", (), b"", (pair,)))
            nursery.cancel_scope.cancel()

    trio.run(silent)


async def _hold(stream: trio.SocketStream) -> None:
    """Accept a connection and say nothing."""
    async with stream:
        await trio.sleep_forever()


def test_no_answer_is_a_failure_not_a_refusal() -> None:
    """A closed port and a reply that is not HTTP give FetchFailed, which a script may handle."""

    async def main() -> None:
        async def babble(stream: trio.SocketStream) -> None:
            async with stream:
                await stream.send_all(b"\xff" * 64)

        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        pair = f"127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        guard = EgressGuard([pair])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(functools.partial(trio.serve_listeners, babble, listeners))
            with pytest.raises(FetchFailed):
                await guard.fetch(FetchRequest("GET", f"http://{pair}/", (), b"", (pair,)))
            nursery.cancel_scope.cancel()
        with pytest.raises(FetchFailed):
            await guard.fetch(FetchRequest("GET", f"http://{pair}/", (), b"", (pair,)))

    trio.run(main)


def test_granted_hosts() -> None:
    """An entry covers its exact host on the web's ports, its exact host and port, or the names below its domain."""
    assert granted(("a.test",), "http://a.test/")
    assert granted(("a.test",), "https://A.TEST./x")
    assert granted(("a.test:8080",), "http://a.test:8080/")
    assert granted(("*.a.test",), "https://b.a.test/")
    assert granted(("[::1]:80",), "http://[::1]/")
    for hosts, url in [
        (("a.test",), "http://a.test:8080/"),
        (("a.test:8080",), "http://a.test/"),
        (("a.test",), "http://b.a.test/"),
        (("*.a.test",), "http://a.test/"),
        (("*.a.test",), "http://evila.test/"),
        ((), "http://a.test/"),
    ]:
        assert not granted(hosts, url), (hosts, url)


MALFORMED = [
    b"",
    b"GET",
    b"BREW http://a.test/\n\n",
    b"GET ftp://a.test/\n\n",
    b"GET http:///\n\n",
    b"GET /path\n\n",
    b"GET http://user@a.test/\n\n",
    b"GET http://a.test:99999/\n\n",
    b"GET http://a.test/ x\n\n",
    b"GET \xff\n\n",
    b"GET http://a.test\\@b.test/\n\n",
    b"GET http://a.test/\nHost: b\n\n",
    b"GET http://a.test/\nno colon\n\n",
    b"GET http://a.test/\na: b\rc\n\n",
    b"GET http://a.test/\n" + b"a: b\n" * 33 + b"\n",
    b"G" * 20_000,
]


@pytest.mark.parametrize("message", MALFORMED)
def test_malformed_requests_are_typed(message: bytes) -> None:
    """What is no request of ours is RequestInvalid, whatever its bytes."""
    with pytest.raises(RequestInvalid):
        parse_request(message, ())


def test_pairs_of_the_operator() -> None:
    """A pair needs a host and a port; IPv6 hosts stand in brackets."""
    assert parse_pair("127.0.0.1:8081") == ("127.0.0.1", 8081)
    assert parse_pair("[::1]:80") == ("::1", 80)
    for text in ("127.0.0.1", ":80", "a:0", "a:65536", "a:b", ""):
        with pytest.raises(ValueError):
            parse_pair(text)
