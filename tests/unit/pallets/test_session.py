"""Session: keys with proof of possession, rotation two sessions later, disabling."""

from typing import Any

import pytest

from pallets.balances import HoldReason
from pallets.session import (
    ERA_SESSIONS,
    KEYS_DEPOSIT,
    DuplicatedKey,
    InvalidValidators,
    KeysChangedThisEra,
    NewSession,
    NoKeys,
    ValidatorDisabled,
    disabled_max,
)
from pallets.session_keys import InvalidProof, SessionKeys
from runtime.errors import BlockFault, DispatchError, InvariantBroken, TokenError
from runtime.pallet import Origin, Root, RuntimeCall
from tests.helpers.pallet_chain import FIRST_SLOT, RICH, SESSION_SLOTS, PalletChain, Validator

FOUR = [Validator(name) for name in "abcd"]
NEW = Validator("new")


def boundary(session: int) -> int:
    """The first slot of the session that many after the one of block 1."""
    return FIRST_SLOT + session * SESSION_SLOTS


def chain() -> PalletChain:
    """Four validators and the account of NEW, which has no keys."""
    made = PalletChain(FOUR, rich=[NEW.account])
    made.know(NEW)
    return made


def set_keys(who: Validator, keys: SessionKeys | None = None, proof: bytes | None = None) -> tuple[Any, ...]:
    """The arguments of `signed` for a set_keys call."""
    return (who.account, "Session", "set_keys", keys or who.keys, who.proof() if proof is None else proof)


def test_a_session_begins_at_the_first_block_past_the_boundary() -> None:
    """The index rises once per boundary crossed; sessions skipped whole merge into one step; block 1 begins none."""
    made = chain()
    expected = 0
    for slot, begins in (
        (FIRST_SLOT + 5, False),
        (boundary(1) - 1, False),
        (boundary(1), True),
        (boundary(1) + 1, False),
        (boundary(2) + 7, True),
        (boundary(5) + 2, True),
        (boundary(6) - 1, False),
        (boundary(6), True),
    ):
        made.block(slot)
        expected += begins
        assert made.session.current_index.get() == expected
        assert [event.session_index for event in made.events(NewSession)] == ([expected] if begins else [])


def test_keys_set_in_session_i_act_in_i_plus_2() -> None:
    """New keys are queued at the next boundary and active at the one after, for authors, voters and the beacon."""
    made = chain()
    renewed = Validator("a", generation=1)
    made.know(renewed)
    assert made.block(FIRST_SLOT, made.signed(*set_keys(FOUR[0], renewed.keys, renewed.proof()))) == [None]
    assert not made.session.queued_changed.get()
    made.block(boundary(1))
    assert made.session.queued_changed.get()
    assert made.aura.authorities.get()[0] == FOUR[0].keys.aura
    made.block(boundary(2))
    assert not made.session.queued_changed.get()
    assert made.aura.authorities.get() == (renewed.keys.aura, *(v.keys.aura for v in FOUR[1:]))
    assert made.grandpa.authorities.get()[0] == (renewed.keys.grandpa, 1)
    assert made.beacon.commitments.get()[0] == renewed.secret.commitment
    made.block(boundary(2) + 2)
    made.block(boundary(2) + 4)


def test_a_new_beacon_commitment_alone_changes_no_set() -> None:
    """Changing only the commitment moves the beacon over without a new voter set."""
    made = chain()
    renewed = Validator("a", generation=1)
    made.know(renewed)
    keys = SessionKeys(FOUR[0].keys.aura, FOUR[0].keys.grandpa, renewed.secret.commitment)
    message_by = Validator("a")
    message_by.secret = renewed.secret
    made.block(FIRST_SLOT, made.signed(*set_keys(FOUR[0], keys, message_by.proof())))
    made.block(boundary(1))
    made.block(boundary(2))
    assert made.beacon.commitments.get()[0] == renewed.secret.commitment
    assert made.grandpa.current_set_id.get() == 0
    assert len(made.digest) == 2


def test_a_newcomer_joins_and_leaves() -> None:
    """An account sets keys, is elected, authors; purging its keys takes it out two sessions later."""
    made = chain()
    made.block(FIRST_SLOT, made.signed(*set_keys(NEW)))
    everyone = tuple(v.account for v in [*FOUR, NEW])
    made.block(FIRST_SLOT + 1, (made.call("Session", "set_validators", everyone), Root()))
    made.block(boundary(1))
    made.block(boundary(2))
    assert made.session.validators.get() == everyone
    for slot in range(boundary(2) + 1, boundary(2) + 6):
        made.block(slot)
    assert made.system.block_author in everyone
    for session in range(3, ERA_SESSIONS + 1):
        made.block(boundary(session))
    last = boundary(ERA_SESSIONS) + 1
    assert made.block(last, made.signed(NEW.account, "Session", "purge_keys")) == [None]
    assert made.balances.free(NEW.account) == RICH
    made.block(boundary(ERA_SESSIONS + 1))
    assert NEW.account in made.session.validators.get()
    made.block(boundary(ERA_SESSIONS + 2))
    assert made.session.validators.get() == everyone[:4]


def test_the_last_validators_cannot_vanish() -> None:
    """When no elected validator has keys any more, the queued set stays as it was."""
    made = PalletChain(FOUR[:1])
    assert made.block(FIRST_SLOT, made.signed(FOUR[0].account, "Session", "purge_keys")) == [None]
    for session in range(1, 4):
        made.block(boundary(session))
    assert made.session.validators.get() == (FOUR[0].account,)


def test_keys_cost_a_deposit_that_comes_back() -> None:
    """The deposit is held once and returned as it was paid; who cannot pay sets no keys."""
    made = chain()
    poor = Validator("poor")
    failures = made.block(FIRST_SLOT, made.signed(*set_keys(NEW)), made.signed(*set_keys(poor)))
    assert failures[0] is None
    assert isinstance(failures[1], TokenError)
    assert made.balances.held(NEW.account, HoldReason.STORAGE_DEPOSIT) == KEYS_DEPOSIT
    assert made.session.next_keys.find(poor.account) is None
    for session in range(1, ERA_SESSIONS + 1):
        made.block(boundary(session))
    renewed = Validator("new", generation=1)
    made.block(boundary(ERA_SESSIONS) + 1, made.signed(*set_keys(NEW, renewed.keys, renewed.proof())))
    assert made.balances.held(NEW.account, HoldReason.STORAGE_DEPOSIT) == KEYS_DEPOSIT


def test_one_key_change_per_era() -> None:
    """A second set_keys or a purge in the same era is refused; the next era allows one again."""
    made = chain()
    renewed = Validator("new", generation=1)
    failures = made.block(
        FIRST_SLOT,
        made.signed(*set_keys(NEW)),
        made.signed(*set_keys(NEW, renewed.keys, renewed.proof())),
        made.signed(NEW.account, "Session", "purge_keys"),
    )
    assert [type(failure) for failure in failures] == [type(None), KeysChangedThisEra, KeysChangedThisEra]
    for session in range(1, ERA_SESSIONS):
        made.block(boundary(session))
    again = made.signed(*set_keys(NEW, renewed.keys, renewed.proof()))
    assert isinstance(made.block(boundary(ERA_SESSIONS) - 1, again)[0], KeysChangedThisEra)
    assert made.block(boundary(ERA_SESSIONS), again) == [None]


@pytest.mark.parametrize("column", [0, 1, 2])
def test_no_key_has_two_owners(column: int) -> None:
    """Registering another account's aura, gran or beacon key is refused, naming which, even with a valid proof."""
    made = chain()
    parts = [NEW.keys.aura, NEW.keys.grandpa, NEW.keys.beacon]
    parts[column] = [FOUR[1].keys.aura, FOUR[1].keys.grandpa, FOUR[1].keys.beacon][column]
    (failure,) = made.block(FIRST_SLOT, made.signed(*set_keys(NEW, SessionKeys(*parts))))
    assert isinstance(failure, DuplicatedKey)
    assert failure.detail == column


def test_a_purged_key_is_free_again() -> None:
    """After its owner purged them, keys may be registered by another account that holds them."""
    made = chain()
    failures = made.block(
        FIRST_SLOT,
        made.signed(FOUR[3].account, "Session", "purge_keys"),
        made.signed(*set_keys(NEW, FOUR[3].keys, FOUR[3].proof(NEW.account))),
    )
    assert failures == [None, None]


@pytest.mark.parametrize(
    ("proof", "detail"),
    [
        (b"", 3),
        (NEW.proof()[:127], 3),
        (bytes(128), 0),
        (NEW.proof(FOUR[0].account), 0),
        (NEW.proof()[64:] + NEW.proof()[:64], 0),
        (NEW.proof()[:64] + bytes(64), 1),
    ],
)
def test_wrong_proofs(proof: bytes, detail: int) -> None:
    """Short, empty, for another account, in the wrong order, half: refused, naming the key, with nothing changed."""
    made = chain()
    made.start(FIRST_SLOT)
    before = made.snapshot()
    call, origin = made.signed(*set_keys(NEW, NEW.keys, proof))
    failure = made.dispatch(call, origin)
    assert isinstance(failure, InvalidProof)
    assert failure.detail == detail
    assert made.snapshot() == before


def test_a_proof_for_other_keys_is_refused() -> None:
    """The signatures cover the beacon commitment too: it cannot be exchanged under them."""
    made = chain()
    keys = SessionKeys(NEW.keys.aura, NEW.keys.grandpa, b"\x07" * 32)
    (failure,) = made.block(FIRST_SLOT, made.signed(*set_keys(NEW, keys)))
    assert isinstance(failure, InvalidProof)


def test_set_validators_checks_its_list() -> None:
    """Root must name one or more distinct accounts, each with keys."""
    made = chain()

    def attempt(*accounts: bytes) -> tuple[RuntimeCall, Origin]:
        return made.call("Session", "set_validators", accounts), Root()

    one = FOUR[0].account
    failures = made.block(FIRST_SLOT, attempt(), attempt(one, one), attempt(one, NEW.account), attempt(one))
    assert [type(failure) for failure in failures] == [InvalidValidators, InvalidValidators, NoKeys, type(None)]
    assert isinstance(failures[2], NoKeys)
    assert failures[2].detail == 1


def test_purge_without_keys() -> None:
    """An account without keys has nothing to purge."""
    made = chain()
    (failure,) = made.block(FIRST_SLOT, made.signed(NEW.account, "Session", "purge_keys"))
    assert isinstance(failure, NoKeys)


def test_a_disabled_validator_may_not_author_until_the_era_ends() -> None:
    """Its blocks are invalid from the next on; the others go on; the next era takes it back."""
    made = chain()
    victim = FOUR[(FIRST_SLOT + 1) % 4]
    made.start(FIRST_SLOT)
    assert made.session.disable(victim.account)
    assert made.events(ValidatorDisabled) == [ValidatorDisabled(victim.account)]
    assert made.refused(FIRST_SLOT + 1).fault is BlockFault.AUTHOR
    made.block(FIRST_SLOT + 2)
    for session in range(1, ERA_SESSIONS + 1):
        slot = boundary(session)
        made.block(slot if made.session.author_of_slot(slot) != victim.account else slot + 1)
    assert made.session.disabled.get() == ()
    slot = boundary(ERA_SESSIONS) + 2
    while made.session.author_of_slot(slot) != victim.account:
        slot += 1
    made.block(slot)


@pytest.mark.parametrize(("validators", "most"), [(1, 0), (3, 0), (4, 1), (6, 1), (7, 2), (64, 21)])
def test_at_most_a_third_is_disabled(validators: int, most: int) -> None:
    """floor((n-1)/3) of n."""
    assert disabled_max(validators) == most


def test_disabling_has_limits() -> None:
    """A stranger, one disabled already and one too many are left alone."""
    made = chain()
    assert not made.session.disable(NEW.account)
    assert made.session.disable(FOUR[0].account)
    assert not made.session.disable(FOUR[0].account)
    assert not made.session.disable(FOUR[1].account)


def test_a_smaller_set_keeps_fewer_disabled() -> None:
    """When the set shrinks, the list of the disabled shrinks with its limit and forgets who left."""
    made = chain()
    made.block(FIRST_SLOT)
    made.session.disable(FOUR[0].account)
    made.session.elected.put(tuple(v.account for v in FOUR[:3]))
    slots = [slot for session in (1, 2) for slot in (boundary(session), boundary(session) + 1)]
    for slot in slots:
        if made.session.author_of_slot(slot) != FOUR[0].account:
            made.block(slot)
    assert len(made.session.validators.get()) == 3
    assert made.session.disabled.get() == ()


GOOD = FOUR[0].genesis()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"slots": 1, "validators": [GOOD]}, "session.slots"),
        ({"slots": True, "validators": [GOOD]}, "session.slots"),
        ({"slots": "300", "validators": [GOOD]}, "session.slots"),
        ({}, "session.validators"),
        ({"validators": [GOOD] * 65}, "session.validators"),
        ({"validators": [GOOD, GOOD]}, r"session.validators\[1\].account"),
        ({"validators": [{**GOOD, "aura": b"short"}]}, r"session.validators\[0\].aura"),
        ({"validators": [{**GOOD, "grandpa": bytes(32)}]}, r"session.validators\[0\].grandpa"),
        ({"validators": [{**GOOD, "stake": 1}]}, r"session.validators\[0\]"),
        ({"validators": [{**FOUR[1].genesis(), "beacon": GOOD["beacon"]}, GOOD]}, r"session.validators\[1\].beacon"),
    ],
)
def test_genesis_names_the_wrong_field(config: dict[str, object], message: str) -> None:
    """A wrong value in genesis is a ValueError that begins with its field."""
    made = chain()
    with pytest.raises(ValueError, match=message):
        made.session.genesis(config)


def test_check_state_notices_a_lost_owner() -> None:
    """A key without its entry in KeyOwner breaks the invariant."""
    made = chain()
    made.session.key_owner.remove((b"aura", FOUR[0].keys.aura))
    with pytest.raises(InvariantBroken):
        made.session.check_state()


def test_errors_are_distinct() -> None:
    """Every error of the pallet has its own index."""
    errors: tuple[type[DispatchError], ...] = chain().session.errors
    assert len({error.index for error in errors}) == len(errors)  # type: ignore[attr-defined]  # errors have an index
