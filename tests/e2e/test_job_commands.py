"""The job commands as a person uses them, against one `heddle node --dev` that all tests of this file share."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from node.keys.pair import from_uri
from node.processor.destinations.sender import webhook_secret
from tests.helpers.dev_node import HEDDLE, DevNode, dev_node
from tests.helpers.heddle_command import Done, Heddle
from tests.helpers.job_folders import BAD_FIELDS, job_folder
from tests.helpers.waiting import wait_for

DEADLINE_S = 60
HDL = 10**12
WORDS = {"words": 14, "distinct": 11, "longest": "quick"}
OUTPUTS = {"wasm": {"words": 14}, "javascript": WORDS, "python": WORDS}
DEV_PROCESSOR = "//Alice//processor"


@dataclass(frozen=True)
class User:
    """A person at a terminal: their wallets, and the node they talk to."""

    heddle: Heddle
    node: DevNode

    @property
    def variables(self) -> dict[str, str]:
        return {"HEDDLE_URL": self.node.http_url}

    def run(self, *arguments: str) -> Done:
        return self.heddle.run(*arguments, **self.variables)

    def json(self, *arguments: str) -> Any:
        return self.heddle.json(*arguments, **self.variables)

    def error(self, *arguments: str) -> tuple[int, dict[str, str]]:
        return self.heddle.error(*arguments, **self.variables)

    def balance(self, who: str) -> Any:
        return self.json("wallet", "balance", who)


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """Someone without a wallet, beside a development node whose processor has advertised."""
    folder = tmp_path_factory.mktemp("user")
    with dev_node(folder) as node:
        person = User(Heddle(folder / "home"), node)

        def advertised() -> bool:
            return any(one["advert"] and one["units"] for one in person.json("processor", "status")["processors"])

        wait_for(advertised, DEADLINE_S, "the development processor's advert")
        yield person


@pytest.mark.deadline(3 * DEADLINE_S)
@pytest.mark.parametrize("runtime", ["wasm", "javascript", "python"])
def test_a_new_job_runs_to_its_result(user: User, runtime: str, tmp_path: Path) -> None:
    """`job init`, `submit --watch` and `result` in each language, typed as the README says, give the right answer."""
    folder, output = tmp_path / "job", tmp_path / "result.json"
    assert user.run("job", "init", str(folder), "--runtime", runtime).code == 0
    done = user.run("job", "submit", str(folder), "--watch")
    assert done.code == 0, done.stderr
    for state in ("OPEN", "MATCHED", "ASSIGNED", "DONE"):
        assert state in done.stdout
    job = str(user.json("job", "list", "--limit", "1")["jobs"][0]["id"])
    found = user.json("job", "result", job, "--output", str(output))
    assert json.loads(output.read_text()) == OUTPUTS[runtime]
    shown = user.json("job", "show", job)
    assert (shown["job"]["state"], shown["job"]["end"]) == ("done", "JobSucceeded")
    assert [run["digest"] for run in shown["executions"]] == [found["digest"]]
    ledger = shown["ledger"]
    assert ledger["deposited"] == ledger["paid"] + ledger["fees"] + ledger["refunded"]
    proven = user.json("job", "result", job, "--proof")
    assert (proven["digest"], proven["proven"]["finalised_by"]) == (found["digest"], "node")
    plain = user.run("job", "result", job)
    assert json.loads(plain.stdout) == OUTPUTS[runtime]
    # A finished job can be watched again, and its timeline is the same story; its money adds up.
    assert user.run("job", "watch", job).code == 0
    assert "DONE: succeeded" in user.run("job", "timeline", job, "--events").stdout
    told = user.json("job", "timeline", job)
    assert [attempt["state"] for attempt in told["attempts"]] == ["accepted"]
    assert told["money"]["held"] == 0
    assert {name: told["money"][name] for name in ("deposited", "paid", "fees", "refunded")} == {
        name: ledger[name] for name in ("deposited", "paid", "fees", "refunded")
    }


@pytest.mark.deadline(2 * DEADLINE_S)
def test_streams_of_json_hold_a_document_a_line(user: User, tmp_path: Path) -> None:
    """`submit --watch --json` and `watch --json` print whole JSON documents, the job first and its end last."""
    folder = job_folder(tmp_path / "job", "javascript")
    done = user.run("job", "submit", str(folder), "--watch", "--json")
    assert done.code == 0, done.stderr
    first, *rest = map(json.loads, done.stdout.splitlines())
    assert rest[-1]["kind"] == "ended"
    assert {"view", "event"} <= {message["kind"] for message in rest}
    again = user.run("job", "watch", first["id_hash"], "--json")
    assert json.loads(again.stdout.splitlines()[-1])["end"] == "JobSucceeded"


@pytest.mark.deadline(2 * DEADLINE_S)
def test_a_wrong_field_is_refused_before_signing(user: User, tmp_path: Path) -> None:
    """Each bad heddle.toml ends with exit code 4 and the field's name; no transaction was made, no fee paid."""
    before = user.balance("//Alice")
    for number, (field, changes) in enumerate(BAD_FIELDS[::4]):
        folder = job_folder(tmp_path / str(number), **dict(changes))
        code, error = user.error("job", "submit", str(folder))
        assert (code, error["kind"]) == (4, "Refused"), error
        assert field in error["message"], error
        assert error["hint"]
    assert user.balance("//Alice") == before


@pytest.mark.deadline(2 * DEADLINE_S)
def test_what_only_the_chain_knows_is_refused_before_signing(user: User, tmp_path: Path) -> None:
    """A deposit that cannot be locked, and options out of bounds, are refused by name; an allowed job is not sent."""
    folder = str(job_folder(tmp_path / "job"))
    before = user.balance("//Bob")
    for arguments, field in (
        (("--reward", "99999999"), "reward"),
        (("--reward", "some"), "reward"),
        (("--reward", "0"), "reward"),
        (("--slots", "0"), "slots"),
        (("--slots", "65"), "slots"),
    ):
        code, error = user.error("job", "submit", folder, "--suri", "//Bob", *arguments)
        assert code == 4, error
        assert error["message"].startswith(f"{field}:"), error
    assert user.json("job", "submit", folder, "--suri", "//Bob", "--dry-run")["ok"]
    assert user.balance("//Bob") == before
    assert user.error("job", "submit", folder, "--suri", "//Bob", "--wallet", "x")[0] == 4
    assert user.error("job", "submit", folder, "--wallet", "absent")[0] == 5


@pytest.mark.deadline(3 * DEADLINE_S)
def test_a_consumer_with_a_wallet_pays_and_cancels(user: User, tmp_path: Path) -> None:
    """A funded wallet registers a job that nobody takes; `why` names the reason; cancelling gives the deposit back."""
    user.json("wallet", "new", "consumer", "--no-password")
    try:
        paid = user.json("wallet", "transfer", "consumer", "20", "--from", "//Alice")
        assert paid["finalized"]
        folder = job_folder(tmp_path / "job", reward='"0.000001"')
        # The only wallet is the default signer.
        sent = user.json("job", "submit", str(folder))
        assert sent["owner"] == user.balance("consumer")["address"]
        job = str(sent["job"])
        assert user.balance("consumer")["reserved"] == sent["deposit"]

        def reasons() -> Any:
            return user.json("job", "why", job)["now"]

        assert wait_for(reasons, DEADLINE_S, "a reason") == {"price": 1}
        code, _ = user.error("job", "cancel", job, "--suri", "//Bob")
        assert code == 4
        paused = user.json("job", "pause", job)
        assert paused["paused"]
        assert user.error("job", "pause", job)[0] == 4
        resumed = user.json("job", "resume", job)
        assert not resumed["paused"]
        assert user.json("job", "top-up", job, "1", "--dry-run")["ok"]
        more = user.json("job", "top-up", job, "1")
        assert more["deposited"] == HDL
        longer = user.json("job", "extend", job, "--executions", "2")
        assert longer["executions"] == 3
        ended = user.json("job", "cancel", job)
        deposit = sent["deposit"] + more["deposited"] + longer["deposited"]
        assert (ended["state"], ended["refunded"]) == ("cancelled", deposit)
        after = user.balance("consumer")
        assert after["reserved"] == 0
        fees = sum(one["fee"] for one in (sent, paused, resumed, more, longer, ended))
        assert after["free"] == 20 * HDL - fees
        watched = user.run("job", "watch", job)
        assert watched.code == 1
        assert "CANCELLED" in watched.stdout
        assert [one["id"] for one in user.json("job", "list", "--owner", "consumer")["jobs"]] == [sent["job"]]
        assert user.error("job", "result", job)[0] == 5
        assert user.error("job", "cancel", job)[0] == 4
    finally:
        (user.heddle.home / "wallets" / "consumer.json").unlink()


@pytest.mark.deadline(2 * DEADLINE_S)
def test_a_failing_script_ends_with_its_reason(user: User, tmp_path: Path) -> None:
    """A script that gives up fails the command; its code and message are in the timeline, what it logged in its log."""
    folder = job_folder(tmp_path / "job", "javascript", extra="[retry]\nattempts_max = 1")
    script = 'export function main(heddle) { heddle.log("about to fail"); heddle.fail(7, "no luck"); }'
    (folder / "main.js").write_text(script)
    done = user.run("job", "submit", str(folder), "--watch")
    assert done.code == 1
    job = str(user.json("job", "list", "--limit", "1")["jobs"][0]["id"])
    assert "about to fail" in user.json("job", "logs", job)["text"]
    assert "about to fail" in user.run("job", "logs", job, "--follow").stdout
    text = user.run("job", "timeline", job, "--events").stdout
    assert "AppError(7): no luck" in text
    assert "DONE: failed: AppError(7)" in text
    code, error = user.error("job", "result", job)
    assert (code, "AppError(7)" in error["message"]) == (5, True)


@pytest.mark.deadline(2 * DEADLINE_S)
def test_a_processor_changes_its_offer_and_its_manager(user: User, tmp_path: Path) -> None:
    """`advertise` changes what is named and nothing else; `pair` needs the manager's proof, which counts once."""
    before = user.json("processor", "status", DEV_PROCESSOR)
    changed = user.json("processor", "advertise", "--label", "eu", "--requests-max", "7", "--per-request", "5units")
    advert = {**before["advert"], "labels": ["eu"], "requests_max": 7}
    advert["pricing"] = {**advert["pricing"], "per_request": 5}
    after = user.json("processor", "status", DEV_PROCESSOR)
    assert after["advert"] == advert
    assert changed["advert"]["labels"] == ["eu"]
    code, error = user.error("processor", "advertise", "--label", "x" * 33)
    assert (code, "label" in json.dumps(error).lower()) == (4, True)

    proof = tmp_path / "proof.json"
    user.json("processor", "pair", "--manager", "//Bob", "--processor", DEV_PROCESSOR, "--save", str(proof))
    paired = user.json("processor", "pair", "--proof", str(proof))
    record = user.json("processor", "status", DEV_PROCESSOR)["record"]
    assert record["manager_address"] == paired["manager"] == user.balance("//Bob")["address"]
    assert user.error("processor", "pair", "--proof", str(proof))[0] == 4
    proof.write_text("{}")
    assert user.error("processor", "pair", "--proof", str(proof))[0] == 4
    user.json("processor", "pair", "--end")
    assert user.json("processor", "status", DEV_PROCESSOR)["record"]["manager"] is None
    assert user.error("processor", "status", "//Nobody")[0] == 5


def test_a_processor_tells_the_secret_it_signs_webhooks_with(user: User) -> None:
    """The secret is the same for every path of a host, another for another host, and the one that deliveries use."""
    told = user.json("processor", "webhook-secret", "hooks.example.com")
    url = "https://hooks.example.com/a/path"
    assert told["secret"] == webhook_secret(from_uri(DEV_PROCESSOR), url)
    assert user.json("processor", "webhook-secret", url) == told
    assert user.json("processor", "webhook-secret", "other.example.com")["secret"] != told["secret"]
    assert user.error("processor", "webhook-secret", "no host")[0] == 4


@pytest.mark.deadline(2 * DEADLINE_S)
def test_a_manager_looks_after_its_fleet(user: User) -> None:
    """Stakes go up and down, the fleet is listed, its fees are paid by the manager, who takes money back."""
    assert user.json("processor", "status", DEV_PROCESSOR)["units"] == 1
    assert user.json("processor", "stake", "3")["units"] == 4
    taken_back = user.json("processor", "unstake", "2.5")
    assert (taken_back["units"], taken_back["unbonding"][0]["amount"]) == (1, 5 * 10**12 // 2)
    assert user.error("processor", "withdraw")[0] == 4
    assert user.error("processor", "deregister")[0] == 4

    assert user.json("processor", "list", "--manager", "//Dave")["processors"] == []
    user.json("processor", "pair", "--manager", "//Dave")
    (fleet,) = user.json("processor", "list", "--manager", "//Dave")["processors"]
    assert fleet["processor_address"] == user.balance(DEV_PROCESSOR)["address"]
    assert "1.5 HDL" in user.run("processor", "list", "--manager", "//Dave").stdout
    assert user.json("processor", "sponsor", "20", "--manager", "//Dave")["era_max"] == 20 * 10**12
    before = user.balance("//Dave")["free"]
    moved = user.json("processor", "recover", DEV_PROCESSOR, "100", "--manager", "//Dave")
    assert user.balance("//Dave")["free"] == before + 100 * 10**12 - moved["fee"]
    assert user.error("processor", "recover", DEV_PROCESSOR, "1", "--manager", "//Eve")[0] == 4
    user.json("processor", "sponsor", "0", "--manager", "//Dave")
    user.json("processor", "pair", "--end")


def test_what_is_not_there_is_said_with_the_next_step(user: User) -> None:
    """Unknown jobs, slots and addresses of nodes have exit codes of their own and a hint."""
    for arguments, expected in (
        (("job", "show", "999999"), 5),
        (("job", "show", "0x" + "00" * 32), 5),
        (("job", "result", "999999"), 5),
        (("job", "watch", "999999"), 5),
        (("job", "cancel", "999999"), 5),
        (("job", "show", "first"), 4),
        (("job", "show", "0x12"), 4),
        (("job", "list", "--rpc", "http://127.0.0.1:1"), 3),
    ):
        code, error = user.error(*arguments)
        assert code == expected, (arguments, error)
        assert error["hint"]


@pytest.mark.deadline(2 * DEADLINE_S)
def test_the_program_on_the_path_does_the_same(user: User, tmp_path: Path) -> None:
    """The installed `heddle`, with its output in a pipe, watches a job in plain lines and leaves a clean result."""
    folder = job_folder(tmp_path / "job", "wasm")
    environment = {"HEDDLE_HOME": str(tmp_path / "home"), "HEDDLE_URL": user.node.http_url, "PATH": "/usr/bin:/bin"}
    command = [str(HEDDLE), "job", "submit", str(folder), "--watch"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stderr
    assert "\x1b[" not in done.stdout
    job = done.stderr.rsplit(maxsplit=1)[-1].strip("`")
    command = [str(HEDDLE), "job", "result", job]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=DEADLINE_S)
    assert result.stdout == '{"words":14}\n'


@pytest.mark.deadline(3 * DEADLINE_S)
def test_a_consumer_who_goes_away_finds_the_result_and_its_proof(user: User, tmp_path: Path) -> None:
    """One process registers and ends, its wallet is put away; later the result is there, proven by one final header."""
    home = Heddle(tmp_path / "home")
    address = home.json("wallet", "new", "traveller", "--no-password")["address"]
    user.json("wallet", "transfer", address, "20", "--from", "//Alice")
    folder = job_folder(tmp_path / "job", "javascript", resources__output_bytes="100_000")
    text = "to be had later " * 400
    (folder / "main.js").write_text(f"export function main(heddle) {{ return {json.dumps(text)}; }}")
    before = user.node.result("chain_getFinalizedHead")
    environment = {"HEDDLE_HOME": str(home.home), "HEDDLE_URL": user.node.http_url, "PATH": "/usr/bin:/bin"}
    command = [str(HEDDLE), "job", "submit", str(folder), "--json"]
    sent = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=DEADLINE_S)
    job = json.loads(sent.stdout)["id_hash"]
    home.home.rename(tmp_path / "put away")

    def ended() -> bool:
        view = user.node.result("jobs_get", job)
        return bool(view["job"]["state"] == "done")

    wait_for(ended, DEADLINE_S, "the end of a job whose owner is away")
    end = int(user.node.result("chain_getHeader")["number"], 16)

    def much_later() -> Any:
        final = user.node.result("chain_getFinalizedHead")
        return int(user.node.result("chain_getHeader", final)["number"], 16) > end + 5 and final

    final = wait_for(much_later, DEADLINE_S, "finality of the job's end")
    # Somebody with another home, no key and no word of the node but proofs: the header's hash is all that is believed.
    reader = Heddle(tmp_path / "elsewhere")
    output = tmp_path / "result"
    proof = ("job", "result", job, "--proof", "--url", user.node.http_url, "--output", str(output))
    found = reader.json(*proof, "--finalised", final)
    assert output.read_text() == text
    assert (found["proven"]["hash"], found["proven"]["finalised_by"]) == (final, "user")
    assert found["proven"]["job_hash"] == job
    assert found["from"] == "blob"
    # The header decides: by one from before the registration, the same node proves that there is no such job.
    output.unlink()
    code, error = reader.error(*proof, "--finalised", before)
    assert (code, "it is proven" in error["message"], output.exists()) == (5, True, False)
    ledger = user.json("job", "show", job)["ledger"]
    assert ledger["deposited"] == ledger["paid"] + ledger["fees"] + ledger["refunded"]
    assert user.balance(address)["reserved"] == 0


@pytest.mark.deadline(2 * DEADLINE_S)
def test_two_who_pay_from_one_account_at_once_both_pay(user: User) -> None:
    """Commands that sign for one account at the same moment, even the same payment, get a nonce each."""
    before = user.balance("//Eve")["free"]
    arguments = (HEDDLE, "wallet", "transfer", "//Eve", "1", "--from", "//Alice", "--url", user.node.http_url, "--json")
    paying = [subprocess.Popen(arguments, stdout=subprocess.DEVNULL) for _ in range(4)]
    assert [process.wait(DEADLINE_S) for process in paying] == [0] * 4
    assert user.balance("//Eve")["free"] == before + 4 * HDL


def test_the_shell_completes_jobs_and_wallets(user: User, tmp_path: Path) -> None:
    """`heddle job show <TAB>` offers the node's jobs; without a node it offers nothing, and says nothing."""
    number = user.json("job", "submit", str(job_folder(tmp_path / "job", "javascript")))["job"]

    def offered(words: str, url: str) -> list[str]:
        variables = {"_HEDDLE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        return user.heddle.run(**variables, HEDDLE_URL=url).stdout.split()

    assert str(number) in offered("heddle job show ", user.node.http_url)
    assert offered("heddle job show ", "http://127.0.0.1:9") == []
    assert user.heddle.run("wallet", "new", "completed", HEDDLE_PASSWORD="a password").code == 0
    assert offered("heddle job cancel 0 --wallet comp", user.node.http_url) == ["completed"]
