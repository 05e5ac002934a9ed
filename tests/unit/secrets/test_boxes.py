"""Sealed things open where they were made for, and nowhere else; what must not be seen is taken out."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import trio
from nacl.public import PrivateKey, PublicKey, SealedBox

from node.processor.runtimes.spec import FetchFailed, FetchReply, FetchRequest
from node.secrets.boxes import (
    PADDING_BYTES,
    PLAIN_BYTES_MAX,
    SecretsInvalid,
    new_key,
    open_key,
    open_values,
    public_key,
    seal_key,
    seal_values,
)
from node.secrets.redaction import Redaction, filled_in, with_secrets
from pallets.secrets.contexts import SEALED_BYTES, name_tag, prekey_context, slot_context, values_context
from pallets.secrets.types import VALUES_BYTES_MAX

GENESIS, JOB, OTHER = b"\x01" * 32, b"\x02" * 32, b"\x03" * 32
WHO = b"\x04" * 32
VALUES = {"TOKEN": "s3cret-välue", "EMPTY": ""}
CONTEXT = values_context(GENESIS, WHO, 7)


def test_values_come_back_and_their_size_shows_only_steps() -> None:
    """Round trip; two environments of different length have the same size; the largest fits on the chain."""
    key = new_key()
    sealed = seal_values(key, CONTEXT, VALUES)
    assert open_values(key, CONTEXT, sealed) == VALUES
    assert b"s3cret" not in sealed
    assert len(sealed) == len(seal_values(key, CONTEXT, {"A": "b"}))
    assert len(seal_values(key, CONTEXT, {"A": "b" * PADDING_BYTES})) == len(sealed) + PADDING_BYTES
    largest = {"A": "b" * (PLAIN_BYTES_MAX - 20)}
    assert len(seal_values(key, CONTEXT, largest)) <= VALUES_BYTES_MAX
    assert seal_values(key, CONTEXT, VALUES) != sealed


@pytest.mark.parametrize("count", [PLAIN_BYTES_MAX, PLAIN_BYTES_MAX + 1])
def test_too_long_an_environment_is_refused(count: int) -> None:
    """Without repeating it."""
    with pytest.raises(SecretsInvalid) as caught:
        seal_values(new_key(), CONTEXT, {"A": "b" * count})
    assert "bbb" not in str(caught.value)


@pytest.mark.parametrize(
    "context", [values_context(OTHER, WHO, 7), values_context(GENESIS, JOB, 7), values_context(GENESIS, WHO, 8), b""]
)
def test_values_open_for_their_own_job_only(context: bytes) -> None:
    """Another chain, owner or sequence fails, and so do another key and a changed byte."""
    key = new_key()
    sealed = seal_values(key, CONTEXT, VALUES)
    for wrong_key, wrong_context, wrong in (
        (key, context, sealed),
        (new_key(), CONTEXT, sealed),
        (key, CONTEXT, sealed[:-1] + bytes((sealed[-1] ^ 1,))),
        (key, CONTEXT, b""),
    ):
        with pytest.raises(SecretsInvalid):
            open_values(wrong_key, wrong_context, wrong)


RIGHT = (GENESIS, JOB, 1, 2, WHO)


@pytest.mark.parametrize(
    "wrong",
    [
        (OTHER, JOB, 1, 2, WHO),
        (GENESIS, OTHER, 1, 2, WHO),
        (GENESIS, JOB, 2, 2, WHO),
        (GENESIS, JOB, 1, 3, WHO),
        (GENESIS, JOB, 1, 2, OTHER),
    ],
    ids=["chain", "job", "slot", "generation", "processor"],
)
def test_a_copy_replayed_to_another_place_does_not_open(wrong: tuple[bytes, bytes, int, int, bytes]) -> None:
    """It says whom and what it was made for, and the reader compares."""
    key, private = new_key(), new_key()
    public = public_key(private)
    sealed = seal_key(key, public, slot_context(*RIGHT, public))
    assert len(sealed) == SEALED_BYTES
    assert open_key(private, slot_context(*RIGHT, public), sealed) == key
    with pytest.raises(SecretsInvalid):
        open_key(private, slot_context(*wrong, public), sealed)
    with pytest.raises(SecretsInvalid):
        open_key(new_key(), slot_context(*RIGHT, public), sealed)
    with pytest.raises(SecretsInvalid):
        open_key(private, prekey_context(GENESIS, JOB, WHO, public), sealed)


def test_a_box_without_its_tag_is_no_copy() -> None:
    """What was sealed to the same reader for something else is not taken for a key."""
    private = new_key()
    public, context = public_key(private), prekey_context(GENESIS, JOB, WHO, public_key(private))
    box = SealedBox(PublicKey(public))
    for plain in (b"", context + new_key(), b"heddle/release/1" + context, b"heddle/release/1" + context + bytes(33)):
        with pytest.raises(SecretsInvalid):
            open_key(private, context, box.encrypt(plain))
    assert bytes(PrivateKey(private).public_key) == public


def test_a_name_tag_tells_nothing_without_the_key() -> None:
    """The same name under two keys has two tags; under one key names differ."""
    one, two = new_key(), new_key()
    assert name_tag(one, "TOKEN") == name_tag(one, "TOKEN") != name_tag(two, "TOKEN")
    assert name_tag(one, "TOKEN") != name_tag(one, "TOKEM")


REQUEST = FetchRequest(
    "POST",
    "https://api.example.org/v1?key={{secret:KEY}}",
    (("authorization", "Bearer {{secret:KEY}}"),),
    b'{"token": "{{secret:KEY}}", "plain": "{{other}}"}',
    ("api.example.org",),
)


def test_placeholders_are_filled_in_outside_the_sandbox() -> None:
    """In the query percent-encoded, in headers and body as it is; other braces stay."""
    filled = filled_in(REQUEST, {"KEY": "a/b c"})
    assert filled.url == "https://api.example.org/v1?key=a%2Fb%20c"
    assert filled.headers == (("authorization", "Bearer a/b c"),)
    assert filled.body == b'{"token": "a/b c", "plain": "{{other}}"}'
    assert filled_in(replace(REQUEST, body=b""), {"KEY": "x"}).method == "POST"


@pytest.mark.parametrize(
    ("change", "values"),
    [
        (lambda request: request, {}),
        (lambda request: replace(request, url="https://{{secret:KEY}}.example.org/"), {"KEY": "abcd"}),
        (lambda request: request, {"KEY": "two\r\nlines"}),
        (lambda request: request, {"KEY": "ümlaut"}),
    ],
    ids=["unknown name", "in the host", "header injection", "header not ASCII"],
)
def test_what_cannot_be_filled_in_fails_without_telling(
    change: Callable[[FetchRequest], FetchRequest], values: dict[str, str]
) -> None:
    """The script gets an error that names the place, not the value."""
    with pytest.raises(FetchFailed) as caught:
        filled_in(change(REQUEST), values)
    assert not any(value in str(caught.value) for value in values.values())


def test_a_value_that_is_echoed_comes_back_as_its_placeholder() -> None:
    """In the body, in headers, in the percent-encoded form, and in the text of an error."""
    seen: list[FetchRequest] = []

    async def echo(request: FetchRequest) -> FetchReply:
        seen.append(request)
        if request.method == "GET":
            raise FetchFailed(f"no answer from {request.url}")
        return FetchReply(200, (("x-url", request.url),), request.body)

    fetch = with_secrets(echo, {"KEY": "hush/hush"})
    reply = trio.run(fetch, REQUEST)
    assert b"hush/hush" in seen[0].body
    assert reply.body == REQUEST.body
    assert dict(reply.headers)["x-url"] == REQUEST.url
    with pytest.raises(FetchFailed) as caught:
        trio.run(fetch, replace(REQUEST, method="GET"))
    assert "hush" not in str(caught.value)


def test_the_longer_of_two_values_is_taken_out_whole_and_short_ones_stay() -> None:
    """A value inside another leaves no rest of it; fewer than four bytes are no secret."""
    redaction = Redaction({"LONG": "password-and-more", "SHORT": "password", "TINY": "ab"})
    assert redaction.text("password-and-more, password, ab") == "{{secret:LONG}}, {{secret:SHORT}}, ab"
    assert redaction.content(b"x password-and-more") == b"x {{secret:LONG}}"
