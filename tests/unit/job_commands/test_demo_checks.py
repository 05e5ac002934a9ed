"""The demo's own checks can fail: a missing unit, a differing replica and a wrong result are found."""

import json
from dataclasses import replace
from pathlib import Path

from cli.demo_accounts import Snapshot, account_for, account_rows, unsettled
from cli.demo_results import check_all, disagreements
from cli.job_result import JobResult

ALICE, BOB, CAROL = (bytes([n]) * 32 for n in range(3))
PARTIES = {"consumer": ALICE, "processor": BOB}
CHECK = Path(__file__).resolve().parents[3] / "examples" / "jobs" / "check.py"
RUN = JobResult(0, 0, 0, "0xaa", 100, 5, "5Bob", b"[]", from_blob=False)


def snapshot(balances: dict[bytes, int], issuance: int) -> Snapshot:
    """Balances at some block."""
    return Snapshot("0x00", 1, balances, issuance, {})


def test_every_unit_is_accounted_for_or_missed() -> None:
    """Changes that sum to the change of issuance leave nothing; one unit more or less shows, whoever has it."""
    before = snapshot({ALICE: 100, CAROL: 7}, 107)
    after = snapshot({ALICE: 60, BOB: 30, CAROL: 12}, 102)
    account = account_for(before, after, PARTIES)
    assert [(row.party, row.change) for row in account.rows] == [
        ("consumer", -40),
        ("processor", 30),
        ("all others", 5),
    ]
    assert (account.issued, account.missing) == (-5, 0)
    assert account_rows(account)[-1][-1] == "0"
    assert account_for(before, snapshot({**after.balances, CAROL: 13}, 102), PARTIES).missing == 1
    assert account_for(before, snapshot(dict(after.balances), 103), PARTIES).missing == -1


def test_a_deposit_must_be_settled_in_full() -> None:
    """A job of which one unit is neither paid, spent nor refunded is named."""
    ledger = {"deposited": 10, "paid": 4, "fees": 1, "refunded": 5, "pots": {}}
    assert unsettled({"a": {"ledger": ledger}, "b": {"ledger": {**ledger, "refunded": 4}}}) == ["b"]


def test_replicas_that_differ_are_found() -> None:
    """Another digest, other fuel, other bytes and the same processor twice are each a disagreement."""
    other = replace(RUN, slot=1, processor="5Carol")
    assert disagreements([RUN, other]) == []
    assert disagreements([RUN, replace(other, digest="0xbb")]) == ["slots 0 and 1 differ in digest"]
    assert disagreements([RUN, replace(other, fuel=101)]) == ["slots 0 and 1 differ in fuel"]
    assert disagreements([RUN, replace(other, data=b"[0]")]) == ["slots 0 and 1 differ in data"]
    assert disagreements([RUN, replace(RUN, slot=1)]) == ["slots 0 and 1 ran on one processor"]


def test_a_wrong_result_does_not_pass_the_check() -> None:
    """The independent check runs in another process and finds a result that is not that of the input."""
    rows = "icao,iata,country,tz,lat,lon,elevation\nAAAA,AAA,XX,UTC,0,0,10\nBBBB,,XX,UTC,0,1,20\n"
    group = {"airports": 2, "iata": 1, "elevation_ft": [10, 15, 20], "highest": "BBBB"}
    right = json.dumps({"airports": 2, "countries": {"XX": group}, "time_zones": {"UTC": group}}).encode()
    runs = [replace(RUN, data=right)]
    wrong = [replace(RUN, data=right.replace(b"15", b"16"))]
    jobs = [("airports-python", rows.encode(), runs), ("airports-python", rows.encode(), wrong)]
    good, bad = check_all(CHECK, jobs)
    assert good.good, good.problems
    assert good.line.startswith("airports-python: DONE")
    assert not bad.good
    assert "FAILED" in bad.line
