"""Where every unit is: all accounts of the chain at two blocks, and the table of what changed between them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cli.amounts import SYMBOL, format_amount
from cli.chain_client import ChainClient

OTHERS = "all others"


@dataclass(frozen=True)
class Snapshot:
    """Balances (free and held together, units) of every account at one block, and the issuance there."""

    block_hash: str
    number: int
    balances: Mapping[bytes, int]
    issuance: int
    reputation: Mapping[bytes, Mapping[str, int]]


@dataclass(frozen=True)
class Row:
    """One party: what it had, what it has."""

    party: str
    before: int
    after: int

    @property
    def change(self) -> int:
        return self.after - self.before


@dataclass(frozen=True)
class Account:
    """All parties, and what was issued (burnt if negative) in between."""

    rows: tuple[Row, ...]
    issued: int

    @property
    def missing(self) -> int:
        """Units that nobody can account for: 0, or the chain is broken."""
        return sum(row.change for row in self.rows) - self.issued


def take_snapshot(chain: ChainClient, processors: list[bytes]) -> Snapshot:
    """Everything at the last final block."""
    from runtime import ss58

    block_hash = chain.finalized_hash()
    runtime = chain.at(block_hash)
    balances = {who: info.data.free + info.data.reserved for who, info in runtime.system.accounts.items()}
    scores = {}
    for who in processors:
        found = chain.rpc.call("processors_get", ss58.encode(who), block_hash)
        scores[who] = dict(found["reputation_ppm"])
    return Snapshot(block_hash, chain.header(block_hash)["number"], balances, runtime.balances.total_issuance(), scores)


def account_for(before: Snapshot, after: Snapshot, parties: Mapping[str, bytes]) -> Account:
    """A row for each party, and one for the rest of the chain."""
    rows = [Row(name, before.balances.get(who, 0), after.balances.get(who, 0)) for name, who in parties.items()]
    named = set(parties.values())
    rest = [sum(value for who, value in one.balances.items() if who not in named) for one in (before, after)]
    return Account((*rows, Row(OTHERS, *rest)), after.issuance - before.issuance)


def account_rows(account: Account) -> list[list[str]]:
    """The table, in tokens: each party, the sum of all, what was burnt, and that nothing is left over."""
    amounts = [(one.party, one.before, one.after, one.change) for one in account.rows]
    rows = [[party, tokens(old), tokens(new), signed(change)] for party, old, new, change in amounts]
    total = [sum(row.before for row in account.rows), sum(row.after for row in account.rows)]
    rows.append(["all accounts", *map(tokens, total), signed(total[1] - total[0])])
    rows.append(["burnt", "", "", signed(-account.issued)])
    rows.append(["unaccounted for", "", "", tokens(account.missing)])
    return rows


def tokens(units: int) -> str:
    """An amount as a bare number, to the last unit: three of them and a name fit a line of 80."""
    return format_amount(units).removesuffix(f" {SYMBOL}").replace(",", "")


def signed(units: int) -> str:
    """An amount with its sign."""
    return f"+{tokens(units)}" if units > 0 else tokens(units)


def reputation_rows(before: Snapshot, after: Snapshot, names: Mapping[str, bytes]) -> list[list[str]]:
    """Each processor's reputation per runtime, before and after, in parts per million."""
    return [
        [name, runtime, f"{before.reputation[who].get(runtime, 0):,}", f"{score:,}"]
        for name, who in names.items()
        for runtime, score in after.reputation[who].items()
    ]


def ledger_rows(views: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """What each job's deposit became."""
    names = ("deposited", "paid", "fees", "refunded")
    rows = []
    for name, view in views.items():
        ledger = view["ledger"]
        held = sum(ledger["pots"].values())
        rows.append([name, *(format_amount(ledger[field]) for field in names), format_amount(held)])
    return rows


def unsettled(views: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Jobs whose deposit is not fully paid, spent and refunded."""
    return [
        name
        for name, view in views.items()
        if view["ledger"]["deposited"] != sum(view["ledger"][part] for part in ("paid", "fees", "refunded"))
    ]
