"""The frame of the `heddle` command: help, errors and exit codes, without a node."""

import json
import subprocess
import sys

import pytest

from cli.amounts import AMOUNT_MAX, format_amount, parse_amount
from cli.errors import CliError, NotFound, Refused, TimedOut, Unreachable
from cli.main import COMMANDS
from cli.output import plain

HELP_IMPORTS = """
import sys
from cli.main import main
sys.argv = ["heddle", "--help"]
try:
    main()
except SystemExit as end:
    assert end.code in (0, None), end.code
slow = {"libp2p", "trio", "wasmtime", "plyvel", "httpx", "websockets", "runtime", "node", "pallets", "nacl"}
print("loaded:" + ",".join(sorted(slow & {name.partition(".")[0] for name in sys.modules})))
"""


def heddle(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments], capture_output=True, text=True, check=False, timeout=50
    )


def test_help_lists_every_command_and_loads_nothing_slow() -> None:
    """`heddle --help` names each command group without importing libp2p, trio, the runtime or a command's module."""
    done = subprocess.run([sys.executable, "-c", HELP_IMPORTS], capture_output=True, text=True, check=True, timeout=50)
    assert "loaded:\n" in done.stdout
    assert not [name for name in COMMANDS if name not in done.stdout]


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_listed_command_exists(command: str) -> None:
    """Each command that the help lists answers `--help` itself: no entry without its module."""
    done = heddle(command, "--help")
    assert done.returncode == 0, done.stderr
    assert f"heddle {command}" in done.stdout


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"node"}))
def test_only_the_node_loads_libp2p(command: str) -> None:
    """A command's own module, once imported, has still not pulled in libp2p."""
    program = f"import sys, cli.{command}_command; assert 'libp2p' not in sys.modules and 'trio' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=50)


def test_an_unknown_command_is_a_usage_error() -> None:
    """A mistyped command ends with exit code 2 and says so on standard error."""
    done = heddle("netwrok")
    assert done.returncode == 2
    assert "netwrok" in done.stderr
    assert not done.stdout


def test_exit_codes_are_as_documented() -> None:
    """The codes that scripts test do not move."""
    codes = {kind.__name__: kind.exit_code for kind in (CliError, Unreachable, Refused, NotFound, TimedOut)}
    assert codes == {"CliError": 1, "Unreachable": 3, "Refused": 4, "NotFound": 5, "TimedOut": 6}


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("1", 10**12),
        ("1.5", 1_500_000_000_000),
        ("0.000000000001", 1),
        ("2 HDL", 2 * 10**12),
        ("1_000hdl", 1000 * 10**12),
        ("500units", 500),
        ("1unit", 1),
    ],
)
def test_amounts_are_read_exactly(text: str, units: int) -> None:
    """Tokens and units are read without a float in between."""
    assert parse_amount(text) == units


@pytest.mark.parametrize("text", ["", "-1", "1.", ".5", "1e3", "0.0000000000001", "1.5units", "five", "1,000", "٣"])
def test_what_is_no_amount_is_refused_by_name(text: str) -> None:
    """A malformed amount is refused before anything is signed, naming the field."""
    with pytest.raises(Refused, match="reward"):
        parse_amount(text, "reward")


def test_an_amount_has_a_bound() -> None:
    """128 bits are the chain's limit: one unit more is refused."""
    assert parse_amount(f"{AMOUNT_MAX}units") == AMOUNT_MAX
    with pytest.raises(Refused):
        parse_amount(f"{AMOUNT_MAX + 1}units")


@pytest.mark.parametrize("units", [0, 1, 999, 10**12, 1_500_000_000_000, 123_456 * 10**12 + 7])
def test_a_printed_amount_reads_back(units: int) -> None:
    """What `format_amount` prints, `parse_amount` takes."""
    assert parse_amount(format_amount(units).replace(",", "")) == units


def test_documents_become_plain_json() -> None:
    """Bytes are 0x-hex and big integers stay integers in `--json` output."""
    document = {"hash": b"\x01\xff", "amount": 2**100, "list": (1, None, True)}
    assert json.loads(json.dumps(plain(document))) == {"hash": "0x01ff", "amount": 2**100, "list": [1, None, True]}
