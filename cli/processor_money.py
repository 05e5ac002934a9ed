"""`heddle processor`: stakes, a manager's fleet, and the money between the two."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import DEFAULT_URL, JsonOption, PasswordFileOption, UrlOption
from cli.output import emit
from cli.processor_call import BasePathOption, SuriOption, key_of, send, show_done

if TYPE_CHECKING:
    from cli.chain_client import ChainClient
    from node.keys.pair import Pair

app = typer.Typer()

AmountArgument = Annotated[str, typer.Argument(help="How much: 5 is tokens, 500units units.")]
ManagerOption = Annotated[str, typer.Option("--manager", help="The manager, who signs: a wallet or secret URI.")]


@app.command()
def stake(
    amount: AmountArgument,
    *,
    base_path: BasePathOption = None,
    suri: SuriOption = None,
    password_file: PasswordFileOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Put more of a processor's money at stake: by its stake it is drawn for public jobs."""
    from cli.amounts import parse_amount
    from cli.chain_client import ChainClient

    units = parse_amount(amount)
    with ChainClient.connect(url) as chain:
        key = key_of(chain, base_path, suri, password_file)
        done = send(chain, key, "stake", units, as_json=as_json)
        show_done(done, stake_document(chain, key), as_json=as_json)


@app.command()
def unstake(
    amount: AmountArgument,
    *,
    base_path: BasePathOption = None,
    suri: SuriOption = None,
    password_file: PasswordFileOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Take stake back: it counts no more at once, and unbonds before it can be withdrawn."""
    from cli.amounts import parse_amount
    from cli.chain_client import ChainClient

    units = parse_amount(amount)
    with ChainClient.connect(url) as chain:
        key = key_of(chain, base_path, suri, password_file)
        done = send(chain, key, "unstake", units, as_json=as_json)
        show_done(done, stake_document(chain, key), as_json=as_json)


@app.command()
def withdraw(
    *,
    base_path: BasePathOption = None,
    suri: SuriOption = None,
    password_file: PasswordFileOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Free the stake that has unbonded."""
    from cli.chain_client import ChainClient

    with ChainClient.connect(url) as chain:
        key = key_of(chain, base_path, suri, password_file)
        done = send(chain, key, "withdraw_unbonded", as_json=as_json)
        show_done(done, stake_document(chain, key), as_json=as_json)


@app.command()
def deregister(
    *,
    base_path: BasePathOption = None,
    suri: SuriOption = None,
    password_file: PasswordFileOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Be a processor no more, and have the deposit back. Stop its node first, or it registers again."""
    from cli.chain_client import ChainClient

    with ChainClient.connect(url) as chain:
        key = key_of(chain, base_path, suri, password_file)
        done = send(chain, key, "deregister", as_json=as_json)
    show_done(done, {"processor": key.address}, as_json=as_json)


@app.command()
def sponsor(
    era_max: Annotated[str, typer.Argument(metavar="AMOUNT", help="At most so much an era; 0 ends it.")],
    *,
    manager: ManagerOption,
    password_file: PasswordFileOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Pay the fees of all processors that a manager has: for their duties, and for nothing else."""
    from cli.accounts import signer_of
    from cli.amounts import parse_amount
    from cli.chain_client import ChainClient

    units, key = parse_amount(era_max), signer_of(manager, password_file, "manager")
    with ChainClient.connect(url) as chain:
        done = send(chain, key, "sponsor", units, as_json=as_json)
    show_done(done, {"manager": key.address, "era_max": units}, as_json=as_json)


@app.command()
def recover(
    processor: Annotated[str, typer.Argument(help="Whose money: a wallet, an address or a key.")],
    amount: AmountArgument,
    *,
    manager: ManagerOption,
    password_file: PasswordFileOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Move free balance of a processor to its manager. While it has work, a unit of stake stays with it."""
    from cli.accounts import account_of, signer_of
    from cli.amounts import parse_amount
    from cli.chain_client import ChainClient
    from runtime import ss58

    units, who = parse_amount(amount), account_of(processor, "processor")
    key = signer_of(manager, password_file, "manager")
    with ChainClient.connect(url) as chain:
        done = send(chain, key, "recover_funds", who, units, as_json=as_json)
    document = {"processor": ss58.encode(who), "manager": key.address, "amount": units}
    show_done(done, document, as_json=as_json)


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
