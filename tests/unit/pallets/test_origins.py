"""Every call of the base pallets, by each origin that does not permit it."""

import pytest

from runtime.errors import BadOrigin
from runtime.pallet import CallDefinition, Inherent, Origin, Root, RuntimeCall, Signed
from tests.helpers.pallet_chain import FIRST_SLOT, PalletChain, Validator

ALICE = b"\x0a" * 32
ORIGINS: tuple[Origin, ...] = (Signed(ALICE), Root(), Inherent())
CHAIN = PalletChain([Validator("a")], rich=[ALICE], sudo=ALICE)
CHAIN.start(FIRST_SLOT)
CALLS = list(CHAIN.runtime.calls.values())


@pytest.mark.parametrize("definition", CALLS, ids=lambda definition: f"{definition.pallet}.{definition.name}")
def test_wrong_origins(definition: CallDefinition) -> None:
    """Each other origin is refused before the call looks at anything; each call has at least one such origin."""
    wrong = [origin for origin in ORIGINS if type(origin) not in definition.origins]
    assert wrong
    for origin in wrong:
        before = CHAIN.snapshot()
        assert isinstance(CHAIN.dispatch(RuntimeCall(definition, ()), origin), BadOrigin)
        assert CHAIN.snapshot() == before


def test_the_table_of_calls() -> None:
    """Names and indices of calls are what clients and stored extrinsics rely on."""
    table = {f"{d.pallet}.{d.name}": (d.pallet_index, d.index) for d in CALLS}
    expected = {
        "Timestamp.set": (1, 0),
        "Grandpa.note_stalled": (3, 2),
        "Session.set_keys": (6, 0),
        "Session.purge_keys": (6, 1),
        "Session.set_validators": (6, 2),
        "Sudo.sudo": (8, 0),
        "Sudo.set_key": (8, 2),
        "Sudo.sudo_as": (8, 3),
        "Sudo.remove_key": (8, 4),
        "Utility.batch": (9, 0),
        "Utility.batch_all": (9, 2),
        "Utility.force_batch": (9, 4),
        "Offences.report_votes": (10, 0),
        "Offences.report_headers": (10, 1),
    }
    assert {name: table[name] for name in expected} == expected
