"""The voter: when it votes, for what, and how it keeps up."""

from __future__ import annotations

from consensus.authority_set import PendingChange, change_item
from consensus.grandpa.actions import (
    Broadcast,
    Finalise,
    KeyUsedElsewhere,
    Penalise,
    Persist,
    PersistRound,
    ReportEquivocation,
    RequestCatchUp,
    RequestJustification,
    Send,
    SetChanged,
    WantBlock,
)
from consensus.grandpa.messages import (
    CatchUp,
    CatchUpRequest,
    CommitMessage,
    InvalidCommit,
    Neighbour,
    Precommit,
    Prevote,
    Propose,
    VoteMessage,
    check_justification,
)
from consensus.grandpa.vote_graph import Phase
from consensus.grandpa.voter_set import VoterSet
from consensus.grandpa.voting_rule import Timing, target_number
from consensus.votes_gate import RecordKind, VotesGate, scan
from tests.helpers.block_tree import GENESIS, GENESIS_REF, child, ref, run_of
from tests.helpers.keyed_hash import public_of, verify
from tests.helpers.voter_scene import SLOT_MS, T_MS, VoterScene, authorities
from tests.helpers.votes import NAMES, commit, gossip, proposal, vote, voter_set

CHAIN = run_of(GENESIS, 30)


def test_timers_follow_the_slot() -> None:
    """T is a tenth of the slot between 50 and 333 ms; a lone voter waits for nobody."""
    found = [Timing.of(slot, 4).gossip_ms for slot in (100, 1_000, 2_000, 6_000)]
    assert found == [50, 100, 200, 333]
    timing = Timing.of(1_000, 4)
    assert (timing.prevote_ms, timing.precommit_ms, timing.commit_delay_ms, timing.hold_ms) == (200, 400, 200, 10_000)
    assert Timing.of(1_000, 1).precommit_ms == 0


def test_the_voting_rule() -> None:
    """The head itself up to three blocks ahead, three quarters of the way beyond, never past a change or anchor."""
    assert [target_number(best, 10, None) for best in (10, 11, 13, 14, 18, 50)] == [10, 11, 13, 13, 16, 40]
    assert target_number(50, 10, 12) == 12
    assert target_number(1_000, 500, None) == 512
    assert target_number(2_000, 512, None) == 1_024


def test_a_round_from_prevote_to_commit() -> None:
    """Prevote at 2 T, precommit of the prevoted ghost, finality at once, the commit after its delay."""
    scene = VoterScene(CHAIN[:2])
    assert scene.votes(Prevote) == []
    scene.wait(2 * T_MS - 1)
    assert scene.votes(Prevote) == []
    scene.wait(1)
    assert scene.votes(Prevote) == [(1, 2)]
    scene.others(Phase.PREVOTE, ref(CHAIN[1]), NAMES[1:3])
    assert scene.votes(Precommit) == []
    scene.wait(2 * T_MS)
    assert scene.votes(Precommit) == [(1, 2)]
    scene.others(Phase.PRECOMMIT, ref(CHAIN[1]), NAMES[1:3])
    (final,) = scene.did(Finalise)
    assert final.block == ref(CHAIN[1])
    check_justification(final.justification, 0, voter_set(4), verify)
    assert scene.finality.round_number == 2
    assert any(isinstance(action.message, CommitMessage) for action in scene.did(Broadcast))


def test_all_prevotes_seen_need_no_waiting() -> None:
    """When nobody is left to prevote the precommit follows at once."""
    scene = VoterScene(CHAIN[:2])
    scene.wait(2 * T_MS)
    scene.others(Phase.PREVOTE, ref(CHAIN[1]))
    assert scene.votes(Precommit) == [(1, 2)]


def test_voter_persists_its_votes() -> None:
    """Each own vote is written before it is sent; after a restart the file's votes are sent again, not new ones."""
    scene = VoterScene(CHAIN[:2])
    scene.wait(2 * T_MS)
    kinds = [type(action) for action in scene.log if isinstance(action, Persist) or _own_vote(action)]
    assert kinds == [Persist, Broadcast]
    (persisted,) = scene.did(Persist)
    sent = next(action.message for action in scene.did(Broadcast) if _own_vote(action))
    again = VoterScene(CHAIN[:3], gate=VotesGate.of(scan(persisted.record.encode())))
    assert again.finality.report().current.prevotes.current_weight == 1
    again.wait(2 * T_MS)
    assert again.votes(Prevote)[0] == (1, 2)
    assert next(action.message for action in again.did(Broadcast) if _own_vote(action)) == sent
    assert again.did(Persist) == []
    again.others(Phase.PREVOTE, ref(CHAIN[1]))
    assert [action.record.kind for action in again.did(Persist)] == [RecordKind.PRECOMMIT]


def _own_vote(action: object) -> bool:
    if not isinstance(action, Broadcast) or not isinstance(action.message, VoteMessage):
        return False
    return action.message.signed.voter == public_of("alice")


def test_a_prevote_waits_for_something_to_finalise() -> None:
    """With nothing above the final block it is held until a block comes, someone prevotes, or 10 slots pass."""
    for release in ("block", "vote", "time"):
        scene = VoterScene()
        scene.wait(5 * SLOT_MS)
        assert scene.votes(Prevote) == []
        if release == "block":
            scene.block(CHAIN[0])
            assert scene.votes(Prevote) == [(1, 1)]
        elif release == "vote":
            scene.hear(gossip("bob", Phase.PREVOTE, GENESIS_REF))
            assert scene.votes(Prevote) == [(1, 0)]
        else:
            scene.wait(5 * SLOT_MS - 1)
            assert scene.votes(Prevote) == []
            scene.wait(1)
            assert scene.votes(Prevote) == [(1, 0)]


def test_a_lone_voter_follows_each_block_at_once() -> None:
    """With one voter each imported block is final in the same call."""
    scene = VoterScene(count=1)
    for number, header in enumerate(CHAIN[:10], 1):
        scene.block(header)
        assert scene.finality.finalised == ref(header)
        assert scene.finality.round_number == number + 1


def test_a_precommit_never_contradicts_the_last_estimate() -> None:
    """A ghost beside the last round's estimate is not precommitted, one above it is."""
    side = run_of(CHAIN[0], 4, 100)
    for block, precommitted in ((ref(side[2]), []), (ref(CHAIN[2]), [3])):
        scene = VoterScene([*CHAIN[:3], *side[:3]])
        scene.block(side[3])
        scene.others(Phase.PREVOTE, ref(CHAIN[2]))
        scene.others(Phase.PRECOMMIT, ref(CHAIN[2]), NAMES[1:2])
        scene.others(Phase.PRECOMMIT, ref(CHAIN[0]), NAMES[2:4])
        assert (scene.finality.round_number, scene.finality.finalised) == (2, ref(CHAIN[0]))
        scene.others(Phase.PREVOTE, block, round_number=2)
        scene.wait(4 * T_MS)
        assert [number for round_number, number in scene.votes(Precommit) if round_number == 2] == precommitted


def test_a_round_ends_only_when_the_last_estimate_is_final() -> None:
    """A completable round waits for what the round before it might have finalised."""
    scene = VoterScene(CHAIN[:3])
    scene.wait(2 * T_MS)
    scene.others(Phase.PREVOTE, ref(CHAIN[2]))
    scene.others(Phase.PRECOMMIT, ref(CHAIN[2]), ("bob",))
    scene.others(Phase.PRECOMMIT, ref(CHAIN[0]), ("charlie",))
    assert (scene.finality.round_number, scene.finality.finalised) == (2, ref(CHAIN[0]))
    scene.others(Phase.PREVOTE, ref(CHAIN[2]), round_number=2)
    scene.wait(4 * T_MS)
    scene.others(Phase.PRECOMMIT, ref(CHAIN[0]), ("bob", "charlie"), round_number=2)
    assert (scene.finality.round_number, scene.finality.finalised) == (2, ref(CHAIN[0]))
    scene.others(Phase.PRECOMMIT, ref(CHAIN[2]), ("dave",), round_number=1)
    assert (scene.finality.round_number, scene.finality.finalised) == (3, ref(CHAIN[2]))


def test_the_primary_reminds_of_an_estimate_that_is_not_final() -> None:
    """Entering a round as its primary with an unfinished estimate, the voter proposes it; followers vote above it."""
    scene = VoterScene(CHAIN[:4], name="charlie")
    scene.wait(2 * T_MS)
    scene.others(Phase.PREVOTE, ref(CHAIN[3]), ("alice", "bob", "dave"))
    scene.others(Phase.PRECOMMIT, ref(CHAIN[3]), ("alice",))
    scene.others(Phase.PRECOMMIT, ref(CHAIN[1]), ("bob",))
    assert scene.finality.round_number == 2
    proposals = [a.message for a in scene.did(Broadcast) if isinstance(a.message, VoteMessage)]
    own = [m for m in proposals if isinstance(m.signed.message, Propose)]
    assert [(m.round, m.signed.block) for m in own] == [(2, ref(CHAIN[3]))]
    assert scene.finality.finalised == ref(CHAIN[1])


def test_a_proposal_of_a_stranger_to_the_round_is_ignored() -> None:
    """Only the primary's block can steer a prevote."""
    side = child(CHAIN[0], 100)
    scene = VoterScene([*CHAIN[:3], side])
    scene.hear(proposal("dave", ref(side), 1))
    scene.wait(2 * T_MS)
    assert scene.votes(Prevote) == [(1, 3)]


def test_a_proposal_counts_only_below_the_last_ghost() -> None:
    """The primary reminds of what the last round may have decided; it cannot choose a fork of its own."""
    side = child(CHAIN[0], 100)
    scene = VoterScene([*CHAIN[:3], side])
    scene.wait(2 * T_MS)
    scene.others(Phase.PREVOTE, ref(CHAIN[0]))
    scene.others(Phase.PRECOMMIT, ref(CHAIN[0]))
    assert scene.finality.round_number == 2
    scene.hear(proposal("charlie", ref(side), 2))
    scene.wait(2 * T_MS)
    assert scene.votes(Prevote)[-1] == (2, 3)


def test_votes_for_unknown_blocks_wait() -> None:
    """They are asked for, relayed once, and counted when the block comes."""
    scene = VoterScene(CHAIN[:1])
    actions = scene.hear(gossip("bob", Phase.PREVOTE, ref(CHAIN[1])))
    assert WantBlock("peer", ref(CHAIN[1])) in actions
    assert scene.hear(gossip("bob", Phase.PREVOTE, ref(CHAIN[1])), "other") == []
    assert scene.finality.report().current.prevotes.current_weight == 0
    scene.block(CHAIN[1])
    assert scene.finality.report().current.prevotes.current_weight == 1


def test_gossip_rules() -> None:
    """Past rounds and other sets are dropped; strangers, bad signatures and wrong heights cost reputation."""
    scene = VoterScene(CHAIN[:2])
    good = gossip("bob", Phase.PREVOTE, ref(CHAIN[1]))
    cases = {
        "outside the set": gossip("judy", Phase.PREVOTE, ref(CHAIN[1])),
        "bad signature": VoteMessage(2, 0, good.signed),
        "wrong height": gossip("bob", Phase.PREVOTE, type(GENESIS_REF)(7, CHAIN[1].hash())),
    }
    for reason, message in cases.items():
        (penalty,) = [action for action in scene.hear(message) if isinstance(action, Penalise)]
        assert reason in penalty.reason
    for dropped in (gossip("bob", Phase.PREVOTE, ref(CHAIN[1]), 5), gossip("bob", Phase.PREVOTE, ref(CHAIN[1]), 1, 3)):
        assert scene.hear(dropped) == []
    scene.hear(Neighbour(1, 0, 0))
    assert any(isinstance(a, Penalise) for a in scene.hear(gossip("bob", Phase.PREVOTE, ref(CHAIN[1]), 5)))
    assert Broadcast(good, "peer") in scene.hear(good)


def test_equivocation_is_reported_but_never_ones_own() -> None:
    """Two prevotes of another voter make a report; two of the own key stop voting instead."""
    side = child(CHAIN[0], 100)
    scene = VoterScene([*CHAIN[:2], side])
    scene.hear(gossip("bob", Phase.PREVOTE, ref(CHAIN[1])))
    scene.hear(gossip("bob", Phase.PREVOTE, ref(side)))
    (report,) = scene.did(ReportEquivocation)
    assert report.proof.voter == public_of("bob")
    scene.wait(2 * T_MS)
    scene.hear(gossip("alice", Phase.PREVOTE, ref(side)))
    assert len(scene.did(KeyUsedElsewhere)) == 1
    assert len(scene.did(ReportEquivocation)) == 1
    scene.others(Phase.PREVOTE, ref(CHAIN[1]), NAMES[2:4])
    scene.wait(4 * T_MS)
    assert scene.votes(Precommit) == []


def test_a_commit_does_not_hide_honest_votes_below_it() -> None:
    """What a later round made final is no base for an earlier one: a vote that lies lower still counts there."""
    scene = VoterScene(CHAIN[:3])
    target = ref(CHAIN[2])
    scene.hear(CommitMessage(5, 0, commit(target, [(name, target) for name in NAMES[1:4]], 5)))
    assert scene.finality.finalised == target
    late = gossip("bob", Phase.PREVOTE, ref(CHAIN[0]), 2)
    scene.hear(late)
    assert scene.finality.votes_of(public_of("bob")) == [late]


def test_a_commit_finalises_and_silences_our_own() -> None:
    """A good commit of another voter is enough; one that lacks votes costs reputation."""
    scene = VoterScene(CHAIN[:3])
    target = ref(CHAIN[2])
    weak = commit(target, [("bob", target), ("charlie", target)])
    assert any(isinstance(a, Penalise) for a in scene.hear(CommitMessage(1, 0, weak)))
    good = commit(target, [(name, target) for name in NAMES[1:4]])
    scene.hear(CommitMessage(1, 0, good))
    assert [final.block for final in scene.did(Finalise)] == [target]
    assert [a.skip for a in scene.did(Broadcast) if isinstance(a.message, CommitMessage)] == ["peer"]
    scene.wait(10 * T_MS)
    assert len([a for a in scene.did(Broadcast) if isinstance(a.message, CommitMessage)]) == 1


def completed(round_number: int, number: int) -> CatchUp:
    """All votes of a completed round for the block at a height, by the three others."""
    block = ref(CHAIN[number - 1])
    prevotes = tuple(vote(name, Phase.PREVOTE, block, round_number) for name in NAMES[1:4])
    precommits = tuple(vote(name, Phase.PRECOMMIT, block, round_number) for name in NAMES[1:4])
    return CatchUp(0, round_number, prevotes, precommits, GENESIS_REF.hash, 0)


def test_voter_catches_up_to_latest_round_when_behind() -> None:
    """A peer more than two rounds ahead is asked for the round it completed last, one request at a time."""
    scene = VoterScene(CHAIN[:5])
    assert [a for a in scene.hear(Neighbour(3, 0, 0)) if isinstance(a, RequestCatchUp)] == []
    (request,) = [a for a in scene.hear(Neighbour(8, 0, 0)) if isinstance(a, RequestCatchUp)]
    assert (request.peer, request.request) == ("peer", CatchUpRequest(7, 0))
    assert [a for a in scene.hear(Neighbour(9, 0, 0), "other") if isinstance(a, RequestCatchUp)] == []
    scene.keep(scene.finality.on_catch_up("peer", None, scene.now_ms))
    assert [a.peer for a in scene.hear(Neighbour(9, 0, 0), "other") if isinstance(a, RequestCatchUp)] == ["other"]


def test_skips_to_latest_round_after_catch_up() -> None:
    """The votes of a completed round finalise what they decide and open the round after it."""
    scene = VoterScene(CHAIN[:5])
    scene.keep(scene.finality.on_catch_up("peer", completed(7, 5), scene.now_ms))
    assert scene.finality.round_number == 8
    assert scene.finality.finalised == ref(CHAIN[4])
    assert [stored.stored.votes.round for stored in scene.did(PersistRound)] == [7]
    assert scene.finality.answer_catch_up(CatchUpRequest(7, 0)) == completed(7, 5)
    assert scene.finality.answer_catch_up(CatchUpRequest(8, 0)) is None
    scene.block(CHAIN[5])
    scene.wait(2 * T_MS)
    assert scene.votes(Prevote) == [(8, 6)]


def test_a_catch_up_with_a_bad_vote_is_refused() -> None:
    """One bad signature, or votes that do not complete the round, cost reputation and change nothing."""
    scene = VoterScene(CHAIN[:5])
    good = completed(7, 5)
    few = CatchUp(0, 7, good.prevotes, good.precommits[:1], good.base_hash, 0)
    moved = CatchUp(0, 8, good.prevotes, good.precommits, good.base_hash, 0)
    for wrong in (few, moved):
        actions = scene.keep(scene.finality.on_catch_up("peer", wrong, scene.now_ms))
        assert any(isinstance(action, Penalise) for action in actions)
        assert scene.finality.round_number == 1


def test_a_catch_up_waits_for_its_blocks() -> None:
    """Votes for blocks that are still to be imported are applied when the last of them comes."""
    scene = VoterScene(CHAIN[:3])
    scene.keep(scene.finality.on_catch_up("peer", completed(7, 5), scene.now_ms))
    scene.block(CHAIN[3])
    assert scene.finality.round_number == 1
    scene.block(CHAIN[4])
    assert scene.finality.round_number == 8


def test_a_stuck_voter_is_helped() -> None:
    """Whoever repeats its neighbour packet gets the votes of its round, and the last commit when it lacks that."""
    scene = VoterScene(CHAIN[:3])
    scene.wait(2 * T_MS)
    scene.others(Phase.PREVOTE, ref(CHAIN[2]))
    scene.others(Phase.PRECOMMIT, ref(CHAIN[2]))
    assert scene.finality.round_number == 2
    scene.hear(Neighbour(1, 0, 0), "late")
    assert [a for a in scene.did(Send) if isinstance(a.message, VoteMessage)] == []
    scene.hear(Neighbour(1, 0, 0), "late")
    sent = [a.message for a in scene.did(Send) if isinstance(a.message, VoteMessage)]
    assert len(sent) == 8
    assert any(isinstance(a.message, CommitMessage) for a in scene.did(Send))


def test_a_round_that_is_stuck_repeats_itself() -> None:
    """Own votes and a neighbour packet go out again after 10 T, then after twice as long."""
    scene = VoterScene(CHAIN[:2])
    scene.wait(2 * T_MS)
    before = len(scene.votes(Prevote))
    scene.wait(8 * T_MS)
    assert len(scene.votes(Prevote)) == before + 1
    scene.wait(10 * T_MS)
    assert len(scene.votes(Prevote)) == before + 1
    scene.wait(10 * T_MS)
    assert len(scene.votes(Prevote)) == before + 2


def test_a_restart_goes_on_after_the_stored_round() -> None:
    """The next round begins with the stored estimate; the stored votes still answer a catch-up."""
    first = VoterScene(CHAIN[:3])
    first.wait(2 * T_MS)
    first.others(Phase.PREVOTE, ref(CHAIN[2]))
    first.others(Phase.PRECOMMIT, ref(CHAIN[2]))
    stored = first.did(PersistRound)[-1].stored
    data = b"".join(action.record.encode() for action in first.did(Persist))
    again = VoterScene(CHAIN[:4], gate=VotesGate.of(scan(data)), stored=stored, finalised=ref(CHAIN[2]))
    assert again.finality.round_number == 2
    assert again.finality.answer_catch_up(CatchUpRequest(1, 0)) == stored.votes
    again.wait(2 * T_MS)
    assert again.votes(Prevote)[-1] == (2, 4)


def test_nothing_is_cast_while_listening() -> None:
    """Until the others have said what they saw, no new vote is signed."""
    scene = VoterScene(CHAIN[:2], listening=True)
    scene.wait(20 * SLOT_MS)
    assert scene.did(Persist) == []
    assert "asking" in scene.finality.report().voting
    scene.keep(scene.finality.stop_listening(scene.now_ms))
    assert scene.votes(Prevote) == [(1, 2)]


def test_a_database_that_lost_blocks_votes_only_when_they_are_back() -> None:
    """The file's last target lies above the best block: no vote until the chain is that high again."""
    earlier = VoterScene(CHAIN[:5])
    earlier.wait(2 * T_MS)
    data = b"".join(action.record.encode() for action in earlier.did(Persist))
    scene = VoterScene(CHAIN[:2], gate=VotesGate.of(scan(data)))
    scene.wait(2 * T_MS)
    assert "missing" in scene.finality.report().voting
    scene.block(CHAIN[2])
    scene.others(Phase.PREVOTE, ref(CHAIN[2]))
    assert scene.did(Persist) == []
    scene.block(CHAIN[3])
    assert scene.finality.report().voting == "yes"


def test_the_report_names_who_is_missing() -> None:
    """The round's state lists the voters not heard of."""
    scene = VoterScene(CHAIN[:2])
    scene.wait(2 * T_MS)
    scene.others(Phase.PREVOTE, ref(CHAIN[1]), ("bob",))
    report = scene.finality.report()
    assert report.current.prevotes.missing == (public_of("charlie"), public_of("dave"))
    assert (report.current.prevotes.current_weight, report.threshold_weight, report.total_weight) == (2, 3, 4)
    assert len(report.current.precommits.missing) == 4


def changing(number: int, count: int) -> VoterScene:
    """A scene whose block at `number` hands over to the first `count` names."""
    trunk = run_of(GENESIS, number - 1)
    parent = trunk[-1] if trunk else GENESIS
    item = change_item(PendingChange(GENESIS_REF, authorities(count), 0))
    change = child(parent, 50, [item])
    after = run_of(change, 4, 60)
    scene = VoterScene(trunk)
    scene.block(change, *after)
    return scene


def test_a_set_never_votes_beyond_its_last_block() -> None:
    """The prevote stops at the change; finalising it starts the next set at round 1 above it."""
    scene = changing(3, 7)
    scene.wait(2 * T_MS)
    assert scene.votes(Prevote) == [(1, 3)]
    last = scene.tree.ancestor_at(scene.tree.best().hash, 3)
    assert last is not None
    block = type(GENESIS_REF)(3, last)
    scene.others(Phase.PREVOTE, block)
    scene.others(Phase.PRECOMMIT, block)
    (final,) = scene.did(Finalise)
    assert (final.block, final.mandatory, final.set_id) == (block, True, 0)
    (changed,) = scene.did(SetChanged)
    assert (changed.new.set_id, changed.new.base) == (1, block)
    assert (scene.finality.set_id, scene.finality.round_number) == (1, 1)
    assert len(scene.finality.report().current.prevotes.missing) == 7


def test_sync_justifications_on_change_blocks() -> None:
    """A node still in the old set asks a peer of a later one for the change block's justification, and takes it."""
    scene = changing(3, 7)
    last = scene.tree.ancestor_at(scene.tree.best().hash, 3)
    assert last is not None
    block = type(GENESIS_REF)(3, last)
    (asked,) = [a for a in scene.hear(Neighbour(1, 1, 3)) if isinstance(a, RequestJustification)]
    assert (asked.peer, asked.block) == ("peer", block)
    other = changing(3, 7)
    other.wait(2 * T_MS)
    other.others(Phase.PREVOTE, block)
    other.others(Phase.PRECOMMIT, block)
    proof = other.did(Finalise)[0].justification
    scene.keep(scene.finality.on_justification(proof, scene.now_ms))
    assert (scene.finality.set_id, scene.finality.finalised) == (1, block)
    try:
        scene.finality.on_justification(proof, scene.now_ms)
    except InvalidCommit as error:
        refused = str(error)
    assert refused


def test_a_justification_beyond_a_change_is_refused() -> None:
    """A proof by the old set for a block above its last one does not count."""
    scene = changing(3, 7)
    best = scene.tree.best()
    beyond = commit(best, [(name, best) for name in NAMES[1:4]])
    scene.hear(CommitMessage(1, 0, beyond))
    assert scene.did(Finalise) == []
    assert VoterSet(scene.set.authorities).total == 4


def test_anchors_keep_their_justifications() -> None:
    """A height divisible by 512 is voted for by itself; when a commit jumps it, its own proof is asked for."""
    long = run_of(GENESIS, 600)
    scene = VoterScene(long)
    scene.wait(2 * T_MS)
    assert scene.votes(Prevote) == [(1, 450)]
    target = ref(long[549])
    scene.hear(CommitMessage(1, 0, commit(target, [(name, target) for name in NAMES[1:4]])))
    assert scene.did(RequestJustification) == [RequestJustification("", ref(long[511]))]
    anchor = VoterScene(long, finalised=ref(long[509]))
    anchor.wait(2 * T_MS)
    assert anchor.votes(Prevote) == [(1, 512)]
    anchor.others(Phase.PREVOTE, ref(long[511]))
    anchor.others(Phase.PRECOMMIT, ref(long[511]))
    assert [final.mandatory for final in anchor.did(Finalise)] == [True]
