"""A world with many staked processors, and a handler of panels that settles them as its test says."""

from dataclasses import replace

from pallets.balances import TREASURY
from pallets.jobs.report import Failed, Outcome, Succeeded
from pallets.jobs.types import RuntimeKind
from pallets.juries.settlement import Fund, no_fund
from pallets.juries.types import Dispute, Panel, PanelKind, Seat, Stage, Verdict
from pallets.processors.types import FREE
from runtime.hashing import blake2b256
from tests.helpers.job_world import ADVERT, ALICE, HDL, PARAMETERS, World, account, success

REWARD = 3 * HDL
SUBJECT = bytes(31) + b"\x07"
JURORS = tuple(account(f"juror {n}") for n in range(140))
PAYER = ALICE
DEFENDANT, CHALLENGER = account("defendant"), account("challenger")
SALT = bytes(range(32))
TRUTH, LIE = success(b"42"), success(b"43")
LADDER = {"seatsFirst": 3, "seatsSecond": 5, "seatsThird": 9, "advertAgeSlotsMin": 0}


class Handler:
    """Notes verdicts. Settles at once for the verdict's digest, unless told to wait or to know better."""

    def __init__(self, world: "JuryWorld") -> None:
        self.world = world
        self.verdicts: dict[int, Verdict] = {}
        self.fund: Fund = no_fund
        self.settles = True

    def digest_of(self, dispute: Dispute, outcome: Outcome) -> bytes:
        """An outcome's digest, whatever the dispute."""
        assert dispute.subject == SUBJECT
        if isinstance(outcome, Succeeded):
            return outcome.digest
        assert isinstance(outcome, Failed)
        return blake2b256(outcome.message.encode())

    def commitment_of(self, dispute: Dispute, juror: bytes, digest: bytes, salt: bytes) -> bytes:
        """Bound to the juror."""
        return blake2b256(dispute.subject + juror + digest + salt)

    def decided(self, id: int, panel: Panel, verdict: Verdict) -> None:
        """Note, and settle."""
        assert panel.stage is Stage.DECIDED
        self.verdicts[id] = verdict
        if self.settles:
            self.world.juries.settle(id, verdict.digest, self.fund)


class JuryWorld(World):
    """Jurors with a unit of stake and an advert each; a treasury."""

    def __init__(self, jurors: int = 12, *, treasury: int = 1_000 * HDL, **juries: int) -> None:
        super().__init__({**PARAMETERS, "juries": {**LADDER, **juries}})
        self.handler = Handler(self)
        self.juries.handler = self.handler
        self.balances.issue(TREASURY, treasury)
        self.jurors = JURORS[:jurors]
        for who in (*self.jurors, DEFENDANT, CHALLENGER):
            self.balances.issue(who, 1_000 * HDL)
        for who in self.jurors:
            self.enlist(who)
        self.slots(1)

    def enlist(self, who: bytes, units: int = 1) -> None:
        """Make an account with money a processor with stake and advert."""
        self.call("Processors", "register", who, 1)
        self.call("Processors", "stake", who, units * HDL)
        self.call("Processors", "advertise", who, replace(ADVERT, pricing=FREE))

    def dispute(self, **changes: object) -> Dispute:
        """Two digests of one execution stand against each other."""
        parties = (PAYER, DEFENDANT, CHALLENGER)
        plain = Dispute(5, 0, SUBJECT, RuntimeKind.WASM, REWARD, 4_000, parties, parties)
        return replace(plain, **changes)  # type: ignore[arg-type]  # fields by name

    def open(self, kind: PanelKind = PanelKind.JURY, **changes: object) -> int:
        """Open a panel and wait until its tickets are known."""
        panel = self.juries.open(kind, self.dispute(**changes))
        self.slots(2)
        return panel

    def panel(self, id: int) -> Panel:
        """A panel's record."""
        return self.juries.panel(id)

    def bench(self, id: int) -> tuple[Seat, ...]:
        """The seats of the present rung."""
        return self.juries.benches.get((id, self.panel(id).rung))

    def until_stage(self, id: int, stage: Stage) -> None:
        """Blocks until a panel is at a stage."""
        self.until(lambda: self.panel(id).stage is stage)

    def claim_all(self, id: int) -> list[bytes]:
        """Everyone tries to get a seat. Who sits when the commitments begin."""
        for who in self.jurors:
            self.refuses("Juries", "claim", who, id)
        self.until(lambda: self.panel(id).stage is not Stage.CLAIMING)
        return [seat.processor for seat in self.bench(id)]

    def commit(self, id: int, who: bytes, outcome: Outcome = TRUTH) -> None:
        """Commit to an outcome."""
        dispute = self.panel(id).dispute
        commitment = self.handler.commitment_of(dispute, who, self.handler.digest_of(dispute, outcome), SALT)
        self.call("Juries", "commit", who, id, commitment)

    def reveal(self, id: int, who: bytes, outcome: Outcome = TRUTH) -> None:
        """Reveal what was committed."""
        self.call("Juries", "reveal", who, id, outcome, SALT)

    def vote(self, id: int, words: dict[bytes, Outcome]) -> None:
        """Commit and reveal: those who have no word stay silent."""
        for who, outcome in words.items():
            self.commit(id, who, outcome)
        self.until_stage(id, Stage.REVEALING)
        self.until(lambda: self.agenda.now() >= self.panel(id).opens)
        for who, outcome in words.items():
            self.reveal(id, who, outcome)

    def try_rung(self, id: int, outcome: Outcome = TRUTH) -> list[bytes]:
        """A whole rung of jurors of one mind; who they are."""
        sitting = self.claim_all(id)
        self.vote(id, dict.fromkeys(sitting, outcome))
        return sitting

    def money(self) -> int:
        """All planck there are."""
        return self.balances.total_issuance()
