"""Sending a job: checks first, then the blobs, then one signed transaction, then the job's id."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cli.blob_client import Progress, ignore_progress, upload
from cli.chain_client import ChainClient, DryRun, Included
from cli.errors import NotFound, Refused
from cli.job_secrets import keep_key, readers_of, with_secrets
from cli.job_spec import KINDS, RULES, Draft, check_draft, correct_it, environment_values
from node.blobs import cid_text
from pallets.jobs.types import Public, Sealing

if TYPE_CHECKING:
    from node.keys.pair import Pair

DEVELOPMENT_SIGNER = "//Alice"
LIVE_CHAIN = "Live"
MONEY = ("DepositNotAvailable", "FundsUnavailable")
"""Errors that say that the payer has too little."""


@dataclass(frozen=True)
class Submitted:
    """A job that is in a block. `fee` is in units, `deposit` what is held for the job until its end."""

    job: int
    id_hash: str
    block: int
    block_hash: str
    extrinsic_hash: str
    fee: int
    deposit: int
    blobs: dict[str, str]
    sealing: str | None = None


def chain_time_ms(chain: ChainClient) -> int:
    """The chain's time at its best block, milliseconds since 1970."""
    return int(chain.at().timestamp.now.get())


def signer_for(chain: ChainClient, name: str | None, password_file: Path | None) -> "Pair":
    """Who signs: a wallet or secret URI; without one the only wallet, or //Alice on a chain that is not live."""
    from cli.accounts import signer_of
    from node.keys.wallet import WalletStore

    if name is not None:
        return signer_of(name, password_file, "wallet")
    names = WalletStore().names()
    if len(names) == 1:
        return signer_of(names[0], password_file, "wallet")
    if names:
        raise Refused(f"wallet: which one of {', '.join(names)}?", f"add --wallet {names[0]}")
    if chain.rpc.call("system_chainType") == LIVE_CHAIN:
        raise NotFound("wallet: there is none", "make one with `heddle wallet new NAME` and have it funded")
    return signer_of(DEVELOPMENT_SIGNER)


def require_allowed(chain: ChainClient, call: bytes, who: bytes, folder: Path) -> DryRun:
    """The dry run of a registration; Refused in the words of heddle.toml if the chain would not take the job."""
    result = chain.dry_run(call, who)
    if result.error is None:
        return result
    kind = result.error.partition(".")[2]
    if kind in RULES:
        name, allowed = RULES[kind]
        raise Refused(f"{name}: {result.explanation.rstrip('.')}; allowed: {allowed} ({kind})", correct_it(folder))
    if kind in MONEY or result.error.startswith("Token."):
        raise Refused(
            f"reward: the account cannot lock the deposit, which is reward x slots x executions and more ({kind})",
            "lower reward or slots, or fund the account: `heddle wallet balance` shows what it has",
        )
    raise Refused(f"the chain would refuse this job: {result.error}", result.explanation)


def submit(
    chain: ChainClient,
    draft: Draft,
    signer: "Pair",
    folder: Path,
    *,
    progress: Progress = ignore_progress,
    watch: Callable[[str], None] | None = None,
    finalized: bool = False,
) -> Submitted:
    """Check, upload, sign, send, and wait for the block. Refused before anything is uploaded or signed."""
    from pallets.escrow.events import Deposited
    from pallets.jobs.events import JobRegistered

    draft = with_sealing(chain, draft)
    call, _ = registration(chain, draft, folder, signer.public)
    require_allowed(chain, call, signer.public, folder)
    for blob in draft.blobs:
        upload(chain.rpc, blob, progress)
    # The upload may have taken a while: the schedule counts from now.
    call, name = registration(chain, draft, folder, signer.public)
    if name is not None:
        keep_key(signer, name, draft.secret_key)
    done: Included = chain.send(call, signer, finalized=finalized, watch=watch)
    registered = done.event(JobRegistered)
    return Submitted(
        registered.job,
        "0x" + registered.id_hash.hex(),
        done.block_number,
        done.block_hash,
        done.extrinsic_hash,
        done.fee,
        done.event(Deposited).amount,
        {blob.label: cid_text(blob.cid) for blob in draft.blobs},
        None if name is None else draft.sealing.name.lower(),
    )


def registration(chain: ChainClient, draft: Draft, folder: Path, owner: bytes) -> tuple[bytes, bytes | None]:
    """The call that registers the job now, checked by the chain's own rules; the job's hash if it has secrets."""
    spec = check_draft(folder, draft, chain_time_ms(chain))
    if spec.environment is None:
        return chain.call("Jobs", "register", spec), None
    values, genesis = environment_values(folder, draft), bytes.fromhex(chain.genesis_hash[2:])
    calls, name = with_secrets(chain.at(), genesis, owner, spec, draft.secret_key, values)
    return chain.call("Utility", "batch_all", calls), name


def with_sealing(chain: ChainClient, draft: Draft) -> Draft:
    """The draft with a way to give its key away: as its author says, else by one-time keys if enough are known."""
    wanted = draft.project.environment
    if wanted.sealing is not None:
        return replace(draft, sealing=Sealing[wanted.sealing.upper()])
    named = not isinstance(draft.processors, Public)
    readers = readers_of(chain.at(), draft.processors, KINDS[draft.project.runtime]) if named else []
    enough = wanted.sources and len(readers) >= draft.project.slots
    return replace(draft, sealing=Sealing.PREKEYS if enough else Sealing.SERVED)


@contextmanager
def upload_bar(total_bytes: int, *, shown: bool) -> Iterator[Progress]:
    """A progress bar on standard error, where that is a terminal and `shown`; otherwise silence."""
    if not shown or not sys.stderr.isatty():
        yield ignore_progress
        return
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    from cli.output import console

    columns = (TextColumn("upload"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Bar(*columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task("upload", total=total_bytes)
        yield lambda count: bar.update(task, advance=count)
