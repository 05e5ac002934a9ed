"""A call about a processor: whose key signs it, how it is sent, and how it is shown."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.errors import Refused
from cli.options import DEFAULT_URL, JsonOption, PasswordFileOption, UrlOption
from cli.output import emit, fields, note

if TYPE_CHECKING:
    from cli.chain_client import ChainClient, Included
    from node.keys.pair import Pair

BasePathOption = Annotated[
    Path | None, typer.Option("--base-path", metavar="DIR", help="The folder of the processor's node, with its key.")
]
SuriOption = Annotated[
    str | None,
    typer.Option("--suri", metavar="URI", help="The processor's secret.", show_default="that of `heddle node --dev`"),
]


@dataclass(frozen=True)
class OwnKey:
    """The processor itself signs."""

    base_path: BasePathOption = None
    suri: SuriOption = None
    password_file: PasswordFileOption = None
    url: UrlOption = DEFAULT_URL
    as_json: JsonOption = False

    def key(self, chain: "ChainClient") -> "Pair":
        """Its key pair."""
        from cli.accounts import password
        from cli.processor_account import processor_key

        secret = None if self.password_file is None else password("Password of the keystore", self.password_file)
        return processor_key(chain, self.base_path, self.suri, secret)


def send(chain: "ChainClient", key: "Pair", name: str, *arguments: Any, as_json: bool) -> "Included":
    """Dry-run, sign and send a call of the Processors pallet; Refused names the advert's field that is wrong."""
    from pallets.processors.errors import Field

    call = chain.call("Processors", name, *arguments)
    answer = chain.rpc.call("system_dryRunCall", "0x" + call.hex(), key.address)
    if not answer["ok"] and answer["error"] == "Processors.AdvertOutOfBounds":
        raise Refused(f"{Field(int(answer['detail'])).name.lower()}: out of bounds", "choose another value")
    return chain.send(call, key, finalized=False, watch=lambda step: note(f"  {step}", as_json=as_json))


def show_done(
    done: "Included", document: dict[str, Any], shown: dict[str, object] | None = None, *, as_json: bool
) -> None:
    """Print what was sent (`shown` instead of its `advert`, to people) and where it is."""
    from cli.amounts import format_amount

    place = {"block": done.block_number, "hash": done.extrinsic_hash, "fee": done.fee}
    about = {name: value for name, value in document.items() if name != "advert"}
    human = fields({**about, **(shown or {}), **place, "fee": format_amount(done.fee)})
    emit({**document, **place}, as_json=as_json, human=human)
