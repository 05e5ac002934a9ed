"""What happens to a job beside the way of its executions, in words: one sentence for each event of the chain.

An event is told by filling a sentence with its fields: amounts as tokens, accounts short. Events that only repeat what
others tell are listed as silent, so that a test sees when the chain has one that is neither.
"""

from typing import Any

from cli.amounts import format_amount

SENTENCES: dict[str, tuple[str, bool | None]] = {
    "JobWaiting": ("WAITING: its lane is full", None),
    "JobOpened": ("OPEN: its turn has come in its lane", None),
    "JobFellBack": ("it failed, and its fallback runs instead", False),
    "ExecutionsSkipped": (
        "slot {slot}: {count} executions from {first} on are skipped, nobody could begin them in time",
        False,
    ),
    "JobPreempted": ("it took the processor of job {victim} and paid {paid}", None),
    "JobPaused": ("paused by its owner", None),
    "JobResumed": ("resumed by its owner", None),
    "JobToppedUp": ("its owner added {amount}", None),
    "JobExtended": ("extended by its owner to {executions} executions a slot", None),
    "JobClosing": ("no more of it runs; it ends once its results are judged", None),
    "ScriptEdited": ("its script is another one from execution {first} on", None),
    "EditorChanged": ("its script has another editor", None),
    "CheckpointStored": ("slot {slot}: execution {execution} published its state", None),
    "RevealsOpen": ("execution {execution}: all {committed} results are committed and may be shown", None),
    "RoundSettled": ("execution {execution} is judged", None),
    "BondFrozen": ("slot {slot}: execution {execution} was committed and not shown; the bond is frozen", False),
    "LateRevealed": ("slot {slot}: execution {execution} was shown late, the bond is free", None),
    "AuditDrawn": ("execution {execution} is drawn for an audit", None),
    "Challenged": ("slot {slot}: execution {execution} is challenged for {amount}", False),
    "ChallengeDropped": ("execution {execution}: the challenger showed nothing and lost {amount}", None),
    "JuryCalled": ("execution {execution} goes before a jury", False),
    "Delivered": ("execution {execution} is delivered by slot {slot}", True),
    "BondPaid": ("slot {slot}: a verdict takes {amount} of its bond", False),
    "Forfeited": ("slot {slot}: the rest of its bond, {amount}, is burned", False),
    "SecretsProvided": ("its encrypted environment is on the chain", None),
    "SecretsSealed": ("slot {slot}: its processor has the key of the environment", None),
}
"""By event: what to say, and whether it is good or bad news."""
AMOUNTS = ("amount", "paid")
"""Fields that are planck."""
SILENT = frozenset(
    (
        *("SlotClosed", "JobForgotten", "Proposed", "PlacementRejected", "Paid", "FeeBurned", "BondLocked"),
        *("BondReleased", "PanelOpened", "SecretsRemoved"),
    )
)
"""Events that others tell already, or that are many and of no use to a watcher; `heddle job timeline` has the money."""


def news_of(event: str, fields: dict[str, Any]) -> tuple[str, bool | None]:
    """The sentence for an event, nothing if it is silent or unknown."""
    sentence, good = SENTENCES.get(event, ("", None))
    if not sentence:
        return "", None
    words = {name: format_amount(value) if name in AMOUNTS else value for name, value in fields.items()}
    try:
        return sentence.format(**words), good
    except KeyError:
        return "", None  # an older or newer node tells it otherwise
