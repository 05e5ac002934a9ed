"""System: changes of rules are authorised with notice, and facts of a block are written and forgotten."""

from __future__ import annotations

import pytest

from pallets.system import (
    BLOCK_HASH_COUNT,
    UPGRADE_CANCEL_BLOCKS,
    UPGRADE_NOTICE_BLOCKS,
    NoUpgradePending,
    SpecVersionNotNewer,
    System,
    UpgradeAuthorized,
    UpgradeCancelled,
    UpgradePending,
    UpgradeTooSoon,
)
from runtime.errors import BadOrigin
from runtime.hashing import blake2b256
from runtime.heddle import Heddle
from runtime.pallet import Root, Signed
from runtime.runtime import PHASE_INITIALIZATION, Runtime, new_registry
from runtime.state import EmptyReader, State
from runtime.types import ZERO_HASH, Digest, slot_item

WHO = bytes(range(32))


def composed(number: int = 100) -> tuple[Runtime, System]:
    """System alone, in block `number`."""
    state, registry = State(), new_registry()
    system = System(state, registry)
    runtime = Runtime(state, registry, [system])
    system.number = number
    return runtime, system


def events(system: System) -> list[object]:
    """The events so far."""
    return [event for _phase, event in system.state.events]


def test_an_upgrade_is_authorised_with_notice() -> None:
    """Root authorises a newer spec version for a height at least 1,800 blocks ahead, one at a time."""
    runtime, system = composed()
    authorise = runtime.definition("System", "authorize_upgrade")
    height = system.number + UPGRADE_NOTICE_BLOCKS
    with pytest.raises(BadOrigin):
        runtime.dispatch_in_layer(authorise(2, height), Signed(WHO))
    with pytest.raises(UpgradeTooSoon):
        runtime.dispatch_in_layer(authorise(2, height - 1), Root())
    with pytest.raises(SpecVersionNotNewer):
        runtime.dispatch_in_layer(authorise(1, height), Root())
    assert system.authorized_upgrade.get() is None
    runtime.dispatch_in_layer(authorise(2, height), Root())
    assert events(system) == [UpgradeAuthorized(2, height)]
    with pytest.raises(UpgradePending):
        runtime.dispatch_in_layer(authorise(3, height + 1), Root())


@pytest.mark.parametrize(
    ("blocks_before", "allowed"), [(UPGRADE_CANCEL_BLOCKS, True), (UPGRADE_CANCEL_BLOCKS - 1, False)]
)
def test_an_upgrade_is_cancelled_in_time_or_not_at_all(blocks_before: int, allowed: bool) -> None:
    """Until 300 blocks before its height Root may take an upgrade back; later it comes."""
    runtime, system = composed()
    height = system.number + UPGRADE_NOTICE_BLOCKS
    cancel = runtime.definition("System", "cancel_upgrade")()
    with pytest.raises(NoUpgradePending):
        runtime.dispatch_in_layer(cancel, Root())
    runtime.dispatch_in_layer(runtime.definition("System", "authorize_upgrade")(2, height), Root())
    system.number = height - blocks_before
    if allowed:
        runtime.dispatch_in_layer(cancel, Root())
        assert events(system)[-1] == UpgradeCancelled()
        assert system.authorized_upgrade.get() is None
    else:
        with pytest.raises(NoUpgradePending):
            runtime.dispatch_in_layer(cancel, Root())
        assert system.authorized_upgrade.get() is not None


def test_authorised_rules_hold_from_their_height_on() -> None:
    """The runtime looks at a block under the old rules below the height, and under the new ones from it on."""
    runtime = Heddle()
    runtime.attach(EmptyReader(), 1)
    runtime.system.number = 1
    height = 1 + UPGRADE_NOTICE_BLOCKS
    runtime.dispatch_in_layer(runtime.definition("System", "authorize_upgrade")(2, height), Root())
    pairs = {key: value for key, value in runtime.state.changes() if value is not None}

    class Pairs(EmptyReader):
        """The state after the authorisation."""

        def get(self, key: bytes) -> bytes | None:
            return pairs.get(key)

    for number, spec in ((2, 1), (height - 1, 1), (height, 2), (height + 5, 2)):
        assert runtime.attach(Pairs(), number) == 1
        assert runtime.state.spec == spec, number


def test_the_oldest_block_hash_is_forgotten() -> None:
    """Exactly the last 4,096 block hashes are kept."""
    _runtime, system = composed()
    last = BLOCK_HASH_COUNT + 3
    for number in range(1, last + 1):
        system.open_block(number, blake2b256(number.to_bytes(4, "little")), Digest((slot_item(number),)))
    kept = [number for number in range(last) if system.block_hash(number) != ZERO_HASH]
    assert kept == list(range(last - BLOCK_HASH_COUNT, last))
    assert system.block_hash(last - 1) == blake2b256(last.to_bytes(4, "little"))


def test_the_digest_leaves_the_state_and_events_stay() -> None:
    """At the end of a block its digest is taken out of the state, and its events are put in."""
    runtime, system = composed()
    system.open_block(1, ZERO_HASH, Digest((slot_item(7),)))
    system.state.phase = PHASE_INITIALIZATION
    runtime.dispatch_in_layer(runtime.definition("System", "remark_with_event")(b"x"), Signed(WHO))
    assert system.close_block() == Digest((slot_item(7),))
    changes = dict(runtime.state.changes())
    assert changes[system.digest_value.prefix] is None
    assert len(system.events_value.codec.decode(changes[system.events_value.prefix] or b"")) == 1
