"""A job that breaks a rule: one module error per rule, and nothing but nonce and fee change."""

from __future__ import annotations

from dataclasses import replace
from inspect import getsource
from typing import Any

import pytest
import trio

from pallets.balances import TREASURY
from pallets.jobs import destinations, types
from pallets.jobs.errors import Field
from pallets.jobs.validate import check_supported
from runtime.errors import DispatchErrorValue, ModuleValue
from tests.helpers.chain_lab import ALICE, BOB, FIRST_SLOT, SLOT_MS, UNIT, Lab
from tests.helpers.job_world import job_spec

START_MS = (FIRST_SLOT + 3_000) * SLOT_MS
GOOD = job_spec(START_MS)


def scheduled(**changes: Any) -> types.JobSpec:
    """The job with another schedule."""
    return replace(GOOD, schedule=replace(GOOD.schedule, **changes))


def verified(verification: types.Verification) -> types.JobSpec:
    """The job with another verification mode."""
    return replace(GOOD, verification=verification)


def delivered(destination: destinations.Destination) -> types.JobSpec:
    """The job with another destination."""
    return replace(GOOD, destinations=(destinations.Chain(), destination))


RULES: dict[str, tuple[types.JobSpec, str]] = {
    "end before start": (scheduled(end_ms=START_MS - 1), "Jobs.EndBeforeStart"),
    "end at start": (scheduled(end_ms=START_MS), "Jobs.EndBeforeStart"),
    "duration as long as the interval": (scheduled(duration_ms=60_000), "Jobs.DurationPastInterval"),
    "duration past the interval": (scheduled(duration_ms=60_001), "Jobs.DurationPastInterval"),
    "no slots": (replace(GOOD, slots=0), "Jobs.SlotsOutOfBounds"),
    "65 slots": (replace(GOOD, slots=65), "Jobs.SlotsOutOfBounds"),
    "a reward that cannot be locked": (replace(GOOD, reward=10**7 * UNIT), "Escrow.DepositNotAvailable"),
    "an unknown script": (replace(GOOD, script=types.Blob(b"\x01\x55\x12\x21" + bytes(32), 9)), "Jobs.UnknownScript"),
    "an empty script": (replace(GOOD, script=types.Blob(GOOD.script.cid, 0)), "Jobs.ScriptSizeOutOfBounds"),
    "a start that was missed": (
        scheduled(start_ms=1, end_ms=2, start_delay_max_ms=0),
        "Jobs.StartMissed",
    ),
    "public processors without reward": (replace(GOOD, reward=0), "Jobs.RewardMissing"),
}
UNSUPPORTED: dict[Field, list[types.JobSpec]] = {
    Field.RUNTIME: [replace(GOOD, runtime=types.RuntimeKind.CONTAINER)],
    Field.INPUT: [replace(GOOD, input=types.UpstreamInput(1))],
    Field.ATTESTATION: [replace(GOOD, processors=types.Public(0, attested_only=True))],
    Field.DESTINATIONS: [
        delivered(destinations.Ethereum(1, bytes(20), 1)),
        delivered(destinations.Tezos(None, "fulfill")),
        delivered(destinations.Bitcoin(destinations.BitcoinNetwork.REGTEST)),
        delivered(destinations.Substrate(bytes(32), "Jobs")),
        delivered(destinations.Ipfs("http://127.0.0.1:5001")),
        delivered(destinations.ObjectStore("http://127.0.0.1:9000", "results")),
        delivered(destinations.FederatedLearning("http://127.0.0.1:8080")),
        delivered(destinations.Solana(bytes(32))),
    ],
    Field.GAS: [replace(GOOD, gas_per_delivery=1)],
    Field.VERIFICATION: [
        verified(types.Attested()),
        verified(types.Proof(b"key")),
    ],
}
CASES = [(field, spec) for field, specs in UNSUPPORTED.items() for spec in specs]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """One chain for all: each test adds a block."""
    return Lab(tmp_path_factory.mktemp("lab"))


def differences(lab: Lab, raw: bytes) -> set[bytes]:
    """Keys that a block with the extrinsic leaves otherwise than an empty block in its place would."""
    parent, slot = lab.chain.best.hash, lab.chain.current_slot() + 1
    empty, full = (dict(lab.make(parent, slot, *raws)[1].changes) for raws in ((), (raw,)))
    return {key for key in empty.keys() | full.keys() if empty.get(key, b"same") != full.get(key, b"same")}


def register(lab: Lab, spec: types.JobSpec) -> tuple[DispatchErrorValue | None, str]:
    """Register through the pool and a block; how it ended, and the error's name."""
    call = lab.call("Jobs", "register", spec)
    raw = lab.sign(call, lab.pool.next_nonce(BOB.public))
    changed = differences(lab, raw)
    runtime = lab.runtime
    allowed = {runtime.system.accounts.raw_key(who) for who in (BOB.public, ALICE.public, TREASURY)}
    allowed |= {runtime.system.events_value.prefix, runtime.transaction_payment.multiplier.prefix}
    free = lab.free(BOB)
    lab.submit(raw)
    trio.run(lab.author_block)
    block = lab.chain.block(lab.chain.best.hash)
    assert block is not None
    assert block.extrinsics[1] == raw
    failures = failures_of(lab)
    if failures:
        assert changed <= allowed
        fee = free - lab.free(BOB)
        assert 0 < fee < UNIT
        return failures[0], runtime.error_name(failures[0])
    return None, ""


def failures_of(lab: Lab) -> list[DispatchErrorValue]:
    """The dispatch errors in the best block's events."""
    raw = lab.store.events(lab.chain.best.hash)
    records = lab.runtime.system.events_value.codec.decode(raw or b"")
    return [record.event.dispatch_error for record in records if type(record.event).__name__ == "ExtrinsicFailed"]


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_has_its_error(lab: Lab, rule: str) -> None:
    """The block holds the extrinsic, ended as that rule's error; only nonce, fee and their receivers changed."""
    spec, name = RULES[rule]
    assert register(lab, spec)[1] == name


@pytest.mark.parametrize("case", range(len(CASES)), ids=lambda n: f"{CASES[n][0].name.lower()} {n}")
def test_what_is_not_supported_yet_is_named(lab: Lab, case: int) -> None:
    """Each value whose rules come later ends as Jobs.NotYetSupported with the field in the detail byte."""
    field, spec = CASES[case]
    value, name = register(lab, spec)
    assert name == "Jobs.NotYetSupported"
    assert isinstance(value, ModuleValue)
    assert value.module.error[1] == field


def test_the_job_itself_is_good(lab: Lab) -> None:
    """Without the broken rule the same job is registered: every refusal above is for its rule alone."""
    assert register(lab, GOOD) == (None, "")
    assert lab.look().jobs.next_job.get() == 1


def test_every_unsupported_field_is_tried() -> None:
    """No field that `check_supported` can refuse is missing above."""
    source = getsource(check_supported)
    assert [field for field in Field if f"Field.{field.name}," in source and field not in UNSUPPORTED] == []
