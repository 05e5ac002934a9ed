"""`heddle processor`: stakes, a manager's fleet, and the money between the two."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.option_group import with_options
from cli.options import DEFAULT_URL, JsonOption, PasswordFileOption, UrlOption
from cli.output import emit
from cli.processor_call import OwnKey, send, show_done

if TYPE_CHECKING:
    from cli.chain_client import ChainClient
    from node.keys.pair import Pair

app = typer.Typer()

AmountArgument = Annotated[str, typer.Argument(help="How much: 5 is tokens, 500units units.")]


@dataclass(frozen=True)
class Manager:
    """The manager signs."""

    manager: Annotated[str, typer.Option("--manager", help="The manager, who signs: a wallet or secret URI.")]
    password_file: PasswordFileOption = None
    url: UrlOption = DEFAULT_URL
    as_json: JsonOption = False

    def key(self) -> "Pair":
        """Its key pair."""
        from cli.accounts import signer_of

        return signer_of(self.manager, self.password_file, "manager")


@app.command()
@with_options(OwnKey)
def stake(amount: AmountArgument, options: OwnKey) -> None:
    """Put more of a processor's money at stake: by its stake it is drawn for public jobs."""
    from cli.amounts import parse_amount

    restake(options, "stake", parse_amount(amount))


@app.command()
@with_options(OwnKey)
def unstake(amount: AmountArgument, options: OwnKey) -> None:
    """Take stake back: it counts no more at once, and unbonds before it can be withdrawn."""
    from cli.amounts import parse_amount

    restake(options, "unstake", parse_amount(amount))


@app.command()
@with_options(OwnKey)
def withdraw(options: OwnKey) -> None:
    """Free the stake that has unbonded."""
    restake(options, "withdraw_unbonded")


def restake(options: OwnKey, name: str, *arguments: int) -> None:
    """One call about the processor's stake, and the stake as it is then."""
    from cli.chain_client import ChainClient

    with ChainClient.connect(options.url) as chain:
        key = options.key(chain)
        done = send(chain, key, name, *arguments, as_json=options.as_json)
        show_done(done, stake_document(chain, key), as_json=options.as_json)


@app.command()
@with_options(OwnKey)
def deregister(options: OwnKey) -> None:
    """Be a processor no more, and have the deposit back. Stop its node first, or it registers again."""
    from cli.chain_client import ChainClient

    with ChainClient.connect(options.url) as chain:
        key = options.key(chain)
        done = send(chain, key, "deregister", as_json=options.as_json)
    show_done(done, {"processor": key.address}, as_json=options.as_json)


@app.command()
@with_options(Manager)
def sponsor(
    era_max: Annotated[str, typer.Argument(metavar="AMOUNT", help="At most so much an era; 0 ends it.")],
    options: Manager,
) -> None:
    """Pay the fees of all processors that a manager has: for their duties, and for nothing else."""
    from cli.amounts import parse_amount
    from cli.chain_client import ChainClient

    units, key = parse_amount(era_max), options.key()
    with ChainClient.connect(options.url) as chain:
        done = send(chain, key, "sponsor", units, as_json=options.as_json)
    show_done(done, {"manager": key.address, "era_max": units}, as_json=options.as_json)


@app.command()
@with_options(Manager)
def recover(
    processor: Annotated[str, typer.Argument(help="Whose money: a wallet, an address or a key.")],
    amount: AmountArgument,
    options: Manager,
) -> None:
    """Move free balance of a processor to its manager. While it has work, a unit of stake stays with it."""
    from cli.accounts import account_of
    from cli.amounts import parse_amount
    from cli.chain_client import ChainClient
    from runtime import ss58

    units, who, key = parse_amount(amount), account_of(processor, "processor"), options.key()
    with ChainClient.connect(options.url) as chain:
        done = send(chain, key, "recover_funds", who, units, as_json=options.as_json)
    document = {"processor": ss58.encode(who), "manager": key.address, "amount": units}
    show_done(done, document, as_json=options.as_json)


@app.command("list")
def list_processors(
    *,
    manager: Annotated[str | None, typer.Option(help="Only those of this manager.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many.")] = 50,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """List processors, all of them or a manager's fleet, with their stakes and their work."""
    from cli.accounts import account_of
    from cli.processor_report import draw_fleet, with_work
    from cli.rpc_client import RpcClient
    from runtime import ss58

    wanted: dict[str, Any] = {"limit": limit}
    if manager is not None:
        wanted["manager"] = ss58.encode(account_of(manager, "manager"))
    with RpcClient(url) as rpc:
        found = [with_work(rpc, one) for one in rpc.call("processors_list", wanted)]
    emit({"processors": found}, as_json=as_json, human=draw_fleet(found))


def stake_document(chain: "ChainClient", key: "Pair") -> dict[str, Any]:
    """A processor's stake as it is now."""
    pallet = chain.at().processors
    stake = pallet.stakes.get(key.public)
    unbonding = [{"amount": one.amount, "free_at": one.free_at} for one in stake.unbonding]
    return {
        "processor": key.address,
        "staked": stake.bonded,
        "units": pallet.units(key.public),
        "unbonding": unbonding,
    }
