"""Why a job waits, in words: each of the chain's reasons against a processor, and what its consumer can change."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cli.output import table

if TYPE_CHECKING:
    from rich.console import Console

REASONS: dict[str, tuple[str, str]] = {
    "slot_taken": ("the slot was no longer vacant", "nothing: it was filled"),
    "not_advertised": ("it has no advert", "start a processor: `heddle node --processor`"),
    "suspended": ("its advert is suspended: it left offers without an answer", "wait until it renews its advert"),
    "silent": ("it has given no sign of life for too long", "see that its node runs"),
    "too_new": ("its advert is younger than the chain asks for", "wait, or list it under processors"),
    "excluded": ("its manager failed or declined this job before", "wait for another processor"),
    "manager_has_slot": ("its manager has a slot of this job already", "fewer slots, or wait for other managers"),
    "payers_own": ("it is the payer's own", "use personal processors for work on one's own"),
    "not_listed": ("the job does not list it", "add it to processors"),
    "not_personal": ("it is not the payer's", "pair it: `heddle processor pair`"),
    "consumer_not_served": ("it does not work for this consumer", "ask its operator to list you"),
    "runtime": ("it does not have the runtime", "choose another runtime"),
    "version": ("its node is older than asked for", "lower requirements.version"),
    "modules": ("it lacks a module", "ask for fewer modules"),
    "labels": ("it lacks a label", "ask for fewer labels"),
    "architecture": ("it has another instruction set", "drop requirements.architecture"),
    "accelerator": ("it lacks the accelerator", "drop requirements.accelerator"),
    "capabilities": ("it does not offer what the script may do: fetch, storage or sign", "grant the script less"),
    "benchmark": ("it is slower than asked for", "lower requirements.benchmark"),
    "reputation": ("its reputation is below the minimum", "lower the minimum reputation"),
    "price": ("it asks for more than the reward", "raise the reward"),
    "bond": ("it cannot lock the bond", "a lower reward needs a lower bond; or wait"),
    "network_quota": ("it allows fewer network requests", "lower resources.network_requests"),
    "fuel": ("it cannot burn the fuel within the duration", "lower the fuel, or allow a longer duration"),
    "start_delay": ("it needs a longer start delay", "raise the schedule's max_start_delay"),
    "not_drawn": ("the lottery has not drawn it yet", "wait: twice as many are drawn every few slots"),
    "calendar": ("its calendar has no room for all executions", "a longer start delay, less memory, or wait"),
    "paused": ("the job is paused", "go on with it: `heddle job resume`"),
    "no_sealed_secrets": ("the job's secrets are not sealed to it", "list it, and let it publish its keys first"),
    "waiting": ("the job waits for others of its lane", "wait, or raise the lane's concurrency"),
    "too_early": (
        "the execution that it competes for has not opened its claims yet",
        "wait until shortly before it starts",
    ),
    "no_stake": ("it has nothing at stake", "wait for its operator: `heddle processor stake`"),
}
"""By the chain's name of a reason: what it means, and what to change."""


def words_of(reason: str) -> tuple[str, str]:
    """Meaning and advice; a reason that this command does not know stands for itself."""
    return REASONS.get(reason, (reason.replace("_", " "), "use the `heddle` of the node's version"))


def explained(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Each reason with its counts, the most frequent now first."""
    names = {**document["now"], **document["so_far"]}
    rows = [
        {
            "reason": name,
            "processors_now": document["now"].get(name, 0),
            "rejections_so_far": document["so_far"].get(name, 0),
            "meaning": words_of(name)[0],
            "advice": words_of(name)[1],
        }
        for name in names
    ]
    return sorted(rows, key=lambda row: (-row["processors_now"], -row["rejections_so_far"], row["reason"]))


def draw_reasons(document: dict[str, Any]) -> Callable[["Console"], None]:
    """A sentence, then a table of reasons in words."""
    rows = [
        [row["processors_now"], row["rejections_so_far"], row["meaning"], row["advice"]] for row in explained(document)
    ]

    def draw(target: "Console") -> None:
        target.print(_verdict(document))
        if rows:
            table(("now", "so far", "why not", "what helps"), rows, empty="")(target)

    return draw


def _verdict(document: dict[str, Any]) -> str:
    slot = document["slot"]
    if slot is None:
        return f"It waits for no processor: it is {document['state'].upper()}."
    if document["eligible"]:
        return f"{document['eligible']} processors could take slot {slot} now: the next blocks decide."
    if not document["now"]:
        return "No processor has an advert: start one with `heddle node --processor`."
    return f"No processor can take slot {slot} now."
