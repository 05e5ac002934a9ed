"""Bad input, generated from the declarations: every field at the ends of its type, every call by every wrong origin.

What each field's bound is, and which error tells of it, stands in test_registration.py; here no field is forgotten.
"""

import pytest

from pallets.balances import HoldReason
from pallets.jobs.types import JobSpec
from pallets.processors.types import Advert
from runtime.errors import BadOrigin, PalletError
from runtime.pallet import CallDefinition, Inherent, Root, RuntimeCall, Signed
from runtime.scale.codec import ScaleError
from tests.helpers.extreme_values import REGISTRY, extremes, hints_of, too_much
from tests.helpers.job_world import ADVERT, ALICE, PROCESSORS, World, account
from tests.helpers.scale_samples import Pick, fields_sample, first, last

SPECS = dict(extremes(World().spec(), JobSpec))
ADVERTS = dict(extremes(ADVERT, Advert))
PAST = {name: (hint, value) for kind in (JobSpec, Advert) for name, hint, value in too_much(kind, kind.__name__)}
WORK = ("Jobs", "Matching", "Processors", "Juries", "Verification", "Secrets")
CALLS = {
    f"{definition.pallet}.{definition.name}": definition
    for definition in World().runtime.calls.values()
    if definition.pallet in WORK
}


def registers(world: World, spec: JobSpec) -> bool:
    """Whether a job is registered; a refusal is one of the pallets' own errors, and changes nothing."""
    mark = world.state.mark()
    try:
        world.runtime.dispatch_in_layer(world.runtime.definition("Jobs", "register")(spec), Signed(ALICE))
    except PalletError:
        assert world.state.mark() == mark
        return False
    return True


@pytest.mark.parametrize("name", SPECS)
def test_no_value_of_a_field_breaks_the_chain(name: str) -> None:
    """The job is refused by a typed error, or lives for a while with every invariant and gives all money back."""
    world = World(balance=10**30)
    for processor in PROCESSORS[:2]:
        world.offer_capacity(processor)
    world.check()
    if registers(world, SPECS[name]):
        job = world.jobs.next_job.get() - 1
        for _ in range(4):
            world.slots(3)
            world.check()
        if world.jobs.is_live(job):
            world.call("Jobs", "cancel", ALICE, job)
        assert world.balances.held(ALICE, HoldReason.JOB_ESCROW) == 0
    world.check()


@pytest.mark.parametrize("name", ADVERTS)
def test_no_value_of_an_advert_breaks_the_chain(name: str) -> None:
    """It is refused by a typed error, or jobs can be matched beside it with every invariant."""
    world = World(balance=10**30)
    world.offer_capacity(PROCESSORS[0])
    world.call("Processors", "register", PROCESSORS[1], 1)
    world.call("Processors", "stake", PROCESSORS[1], 10**12)
    mark = world.state.mark()
    try:
        advertise = world.runtime.definition("Processors", "advertise")(ADVERTS[name])
        world.runtime.dispatch_in_layer(advertise, Signed(PROCESSORS[1]))
    except PalletError:
        assert world.state.mark() == mark
    world.check()
    world.register()
    world.slots(8)
    world.check()


def test_every_field_is_in_the_matrix() -> None:
    """Each top-level field of a specification and of an advert has been changed."""
    for kind, names in ((JobSpec, SPECS), (Advert, ADVERTS)):
        changed = {name.split(".")[0].split("=")[0].split("*")[0].split(" ")[0] for name in names}
        assert changed == set(hints_of(kind))


@pytest.mark.parametrize("name", PAST)
def test_what_a_type_cannot_say_has_no_encoding(name: str) -> None:
    """A longer list, a larger number, a negative one: refused before anybody could sign it."""
    hint, value = PAST[name]
    with pytest.raises(ScaleError):
        REGISTRY.codec(hint).encode(value)


@pytest.mark.parametrize("name", CALLS)
def test_each_call_is_for_signed_origins_only(name: str) -> None:
    """Neither governance nor a block's author makes calls of the job layer; nothing is looked at before."""
    world = World()
    definition: CallDefinition = CALLS[name]
    assert definition.origins == (Signed,)
    for origin in (Root(), Inherent()):
        mark = world.state.mark()
        with pytest.raises(BadOrigin):
            world.runtime.dispatch_in_layer(RuntimeCall(definition, ()), origin)
        assert world.state.mark() == mark


NEEDS_NOTHING = ("Processors.register", "Processors.sponsor")
"""Whoever comes first may become a processor or pay for its own ones."""


@pytest.mark.parametrize("pick", [first, last], ids=["first", "last"])
@pytest.mark.parametrize("name", CALLS)
def test_a_stranger_can_do_nothing_to_what_is_not_there(name: str, pick: Pick) -> None:
    """Every call with made-up arguments, by an account that has money and nothing else, is refused by a typed error."""
    world, stranger = World(), account("a stranger with money")
    world.balances.issue(stranger, 10**15)
    definition: CallDefinition = CALLS[name]
    arguments, _ = definition.decode_from(fields_sample(tuple(codec for _, codec, _ in definition.fields), pick), 0)
    mark, refused = world.state.mark(), False
    try:
        world.runtime.dispatch_in_layer(RuntimeCall(definition, arguments), Signed(stranger))
    except PalletError:
        refused = True
        assert world.state.mark() == mark
    assert refused is (name not in NEEDS_NOTHING)
    world.check()
