"""Evidence: proofs of equivocation on their way into a block of ours.

Every node that notices an equivocation reports it in the blocks that it authors, at most two in each (spec/chain.md
(g)); the chain takes the first report and refuses the others. A report is tried in three of our blocks, so that it
survives the loss of one on a fork, and then dropped.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from consensus.aura import AuthorEquivocation
from consensus.grandpa.messages import EquivocationProof, Message, Prevote
from node.chain import Chain
from node.log import logger
from pallets.offences import SignedVote, VoteEvidence, VoteKind
from runtime.executive import EVIDENCE_MAX
from runtime.extrinsic import Extrinsic, bare_extrinsic, decode_extrinsic
from runtime.pallet import RuntimeCall

log = logger("evidence")

WAITING_MAX = 64
KNOWN_MAX = 1024
TRIES_MAX = 3

Identity = tuple[str, bytes, int, int]
"""(kind, key, set, round or slot)"""


@dataclass(slots=True)
class Report:
    """An extrinsic to include, and how many of our blocks have tried it."""

    extrinsic: Extrinsic
    tries: int = 0


class Evidence:
    """The reports that wait, oldest first. One of each offence; the oldest gives way when there are too many."""

    def __init__(self, chain: Chain) -> None:
        self._runtime = chain.new_runtime()  # its own: the executive works on another thread
        self._waiting: OrderedDict[Identity, Report] = OrderedDict()
        self._known: OrderedDict[Identity, None] = OrderedDict()

    def add_votes(self, proof: EquivocationProof) -> None:
        """Report a voter that voted twice in a round."""
        kind = VoteKind.PREVOTE if isinstance(proof.first, Prevote) else VoteKind.PRECOMMIT
        first = _signed(proof.first, proof.first_signature)
        second = _signed(proof.second, proof.second_signature)
        evidence = VoteEvidence(proof.set_id, proof.round, kind, proof.voter, first, second)
        call = self._runtime.definition("Offences", "report_votes")(evidence)
        self._add((kind.name, proof.voter, proof.set_id, proof.round), call)

    def add_headers(self, found: AuthorEquivocation) -> None:
        """Report an author that sealed two headers for a slot."""
        call = self._runtime.definition("Offences", "report_headers")(found.first, found.second)
        self._add(("AUTHORING", found.author, 0, found.slot), call)

    def take(self) -> list[Extrinsic]:
        """Up to two reports for the block that is about to be made."""
        chosen = list(self._waiting.items())[:EVIDENCE_MAX]
        for identity, report in chosen:
            report.tries += 1
            self._waiting.move_to_end(identity)
            if report.tries >= TRIES_MAX:
                del self._waiting[identity]
        return [report.extrinsic for _, report in chosen]

    def _add(self, identity: Identity, call: RuntimeCall) -> None:
        if identity in self._known:
            return
        self._known[identity] = None
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)
        if len(self._waiting) >= WAITING_MAX:
            self._waiting.popitem(last=False)
        raw = bare_extrinsic(self._runtime.call_codec.encode(call))
        self._waiting[identity] = Report(decode_extrinsic(raw, self._runtime.call_codec))
        log.warning("equivocation noticed", kind=identity[0], key=f"0x{identity[1].hex()}", at=identity[3])


def _signed(message: Message, signature: bytes) -> SignedVote:
    return SignedVote(message.target_hash, message.target_number, signature)
