"""The state machines of the job layer: how long each one runs, and how many steps it made.

`make test` runs them with the same random choices each time, `make soak PART=jobs` with new ones. A step is one rule:
a call, or time that passes. The counts go into the reports of both.
"""

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, run_state_machine_as_test

STEPS_MIN = 20_000
"""What all of them make together in `make test`, at least."""
PROPERTY = "steps of "
"""Before the machine's name: what a count is called in a report."""
Record = Callable[[str, object], None]
"""pytest's record_property."""


@dataclass(frozen=True)
class Plan:
    """So many lives of the machine, of so many steps each."""

    examples: int
    steps: int

    @property
    def least(self) -> int:
        """How many steps it must make: a life that has drawn much ends early, and its first call may set the scene."""
        return self.examples * self.steps * 3 // 4


PLANS = {
    "JobMachine": Plan(100, 50),
    "RoundMachine": Plan(80, 50),
    "JuryMachine": Plan(80, 50),
    "SecretsMachine": Plan(100, 50),
    "FleetMachine": Plan(100, 50),
    "StakeMachine": Plan(80, 50),
}


def run_machine(machine: type[RuleBasedStateMachine], record: Record) -> None:
    """Run it as planned; AssertionError if it made fewer steps than it must."""
    plan = PLANS[machine.__name__]
    checks = lives = 0

    class Counted(machine):  # type: ignore[misc, valid-type]  # - a class that is known at run time only
        """The same machine; what is checked after each step is counted, and once before the first."""

        def __init__(self) -> None:
            nonlocal lives
            super().__init__()
            lives += 1

        @invariant()
        def another_step(self) -> None:
            nonlocal checks
            checks += 1

    bounds = settings(
        max_examples=plan.examples, stateful_step_count=plan.steps, phases=(Phase.generate,), deadline=None
    )
    run_state_machine_as_test(Counted, settings=bounds)
    steps = checks - lives
    record(PROPERTY + machine.__name__, steps)
    assert steps >= plan.least, f"{machine.__name__} made {steps} steps of {plan.least}"
