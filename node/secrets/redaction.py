"""Redaction: secret values go into requests outside the sandbox, and back out of whatever is kept or shown.

A script writes `{{secret:NAME}}` into a request's path, query, headers or body. The request on the tape keeps the
placeholder; the node puts the value in on the way out, and takes it out of the reply and of error texts on the way
back. A value that comes back in another form (encoded, cut, of another case) is not recognised.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import quote, urlsplit

from node.processor.runtimes.port import Fetch
from node.processor.runtimes.spec import DestinationRefused, FetchFailed, FetchReply, FetchRequest

VALUE_BYTES_MIN = 4
"""A shorter value is no secret, and taking it out would hurt ordinary texts."""
_PLACEHOLDER = re.compile(r"\{\{secret:([^{}]{1,64})\}\}")
_BODY_PLACEHOLDER = re.compile(_PLACEHOLDER.pattern.encode())


class Redaction:
    """Takes values out of texts and bytes, and leaves their placeholders."""

    def __init__(self, values: Mapping[str, str]) -> None:
        forms = {
            form: placeholder(name)
            for name, value in values.items()
            for form in (value, quote(value, safe=""))
            if len(value.encode()) >= VALUE_BYTES_MIN
        }
        # The longest first: one value may contain another.
        self._forms = sorted(forms.items(), key=lambda pair: (-len(pair[0]), pair[0]))

    def text(self, text: str) -> str:
        """`text` without any of the values."""
        for value, shown in self._forms:
            text = text.replace(value, shown)
        return text

    def content(self, content: bytes) -> bytes:
        """`content` without any of the values in UTF-8."""
        for value, shown in self._forms:
            content = content.replace(value.encode(), shown.encode())
        return content


def placeholder(name: str) -> str:
    """How a script names a secret value."""
    return f"{{{{secret:{name}}}}}"


def with_secrets(fetch: Fetch, values: Mapping[str, str]) -> Fetch:
    """`fetch` that puts `values` in place of their placeholders, and the placeholders back into what it returns."""
    redaction = Redaction(values)

    async def fetch_with_secrets(request: FetchRequest) -> FetchReply:
        filled = filled_in(request, values)
        try:
            reply = await fetch(filled)
        except FetchFailed as error:
            raise FetchFailed(redaction.text(str(error))) from None
        except DestinationRefused as error:
            raise DestinationRefused(redaction.text(str(error))) from None
        headers = tuple((name, redaction.text(value)) for name, value in reply.headers)
        return FetchReply(reply.status, headers, redaction.content(reply.body))

    return fetch_with_secrets


def filled_in(request: FetchRequest, values: Mapping[str, str]) -> FetchRequest:
    """The request with values in place of placeholders. FetchFailed for a name or a place that has none."""
    # A value in the host's name would be told to name servers.
    if _PLACEHOLDER.search(urlsplit(request.url).netloc):
        raise FetchFailed("a secret cannot be part of a host's name")
    url = _PLACEHOLDER.sub(lambda match: quote(_value(match[1], values), safe=""), request.url)
    headers = tuple(
        (name, _PLACEHOLDER.sub(lambda match: _value(match[1], values), text)) for name, text in request.headers
    )
    for name, value in headers:
        if not value.isascii() or not value.isprintable():
            raise FetchFailed(f"the secret in the header {name} is not printable ASCII")
    body = _BODY_PLACEHOLDER.sub(lambda match: _value(match[1].decode(errors="replace"), values).encode(), request.body)
    return replace(request, url=url, headers=headers, body=body)


def _value(name: str, values: Mapping[str, str]) -> str:
    if name not in values:
        raise FetchFailed(f"no secret is named {name}")
    return values[name]
