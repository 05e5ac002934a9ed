"""Which cluster a node is told to use, and that nothing but the bridge ever imports Ray."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path

import pytest

from cli.cluster_choice import cluster_of, token_of
from cli.errors import CliError, NotFound, Refused
from node.config import BadConfig, NodeConfig
from node.processor.cluster.errors import ClusterUnreachable, RayMissing, TokenRefused, error_of
from node.processor.cluster.messages import WORKER_MEMORY_BYTES, Machine, unpack_machine
from node.processor.runtimes.frames import FrameInvalid

ROOT = Path(__file__).resolve().parents[3]
MACHINE = Machine(4, 1 << 30, "x86_64", {"wasm": "wasm/1"}, (), ())


@pytest.mark.parametrize(
    ("executor", "address", "named"),
    [("dask", None, "executor"), ("local", "10.0.0.1:6379", "ray-address"), ("ray", None, "ray-address")],
)
def test_half_a_cluster_is_refused(executor: str, address: str | None, named: str) -> None:
    """An unknown executor, an address without one and a cluster without an address: each names its option."""
    with pytest.raises(Refused, match=named):
        cluster_of(executor, address, None)
    assert cluster_of("local", None, None) is None


@pytest.mark.parametrize("address", ["10.0.0.1", "10.0.0.1:", ":6379", "host:99999", "host:port"])
def test_an_address_is_a_host_and_a_port(address: str) -> None:
    """What is no HOST:PORT is refused before anything is started."""
    with pytest.raises(BadConfig, match="ray-address"):
        cluster_of("ray", address, None)


def test_without_ray_the_error_says_how_to_get_it(tmp_path: Path) -> None:
    """Where the extra is not installed `--executor ray` names it; where it is, the token comes from the file."""
    token = tmp_path / "token"
    token.write_text("secret\n")
    if find_spec("ray") is None:
        with pytest.raises(Refused, match="ray is not installed") as caught:
            cluster_of("ray", "10.0.0.1:6379", token)
        assert "constraints-extras.txt" in caught.value.hint
    else:
        choice = cluster_of("ray", "10.0.0.1:6379", token)
        assert choice is not None
        assert choice.token == "secret"
        assert "secret" not in repr(choice)


def test_a_token_is_read_and_never_shown(tmp_path: Path) -> None:
    """A token's file is read without its line end; none, an empty one and a missing file are errors that name it."""
    token = tmp_path / "token"
    token.write_text("secret\n")
    assert token_of(token) == "secret"
    assert "secret" not in repr(NodeConfig(temporary=True, ray_address="10.0.0.1:6379", ray_token="secret"))
    token.write_text("\n")
    with pytest.raises(CliError, match="ray-token-file"):
        token_of(token)
    with pytest.raises(NotFound, match="ray-token-file"):
        token_of(tmp_path / "none")
    with pytest.raises(BadConfig, match="ray-address"):
        NodeConfig(temporary=True, ray_address="10.0.0.1:6379")


def test_the_bridge_s_words_are_errors_of_their_types() -> None:
    """What the bridge names is raised under that type; a reason without a name counts as unreachable."""
    assert isinstance(error_of("TokenRefused", "no"), TokenRefused)
    assert isinstance(error_of("RayMissing", ""), RayMissing)
    assert isinstance(error_of("SomethingElse", "no"), ClusterUnreachable)


def test_a_machine_is_checked_when_it_is_read() -> None:
    """A machine is read as it was packed; malformed values, and numbers below 0, are refused."""
    assert unpack_machine(MACHINE.packed()) == MACHINE
    for raw in (None, [], [-1, *MACHINE.packed()[1:]], [*MACHINE.packed()[:3], {"wasm": 1}, [], []]):
        with pytest.raises(FrameInvalid):
            unpack_machine(raw)


def test_a_machine_holds_a_job_and_its_worker() -> None:
    """What a worker takes beside the job's memory is counted, and a machine without a core holds nothing."""
    most = MACHINE.memory_bytes - WORKER_MEMORY_BYTES
    assert MACHINE.holds(most)
    assert not MACHINE.holds(most + 1)
    assert not Machine(0, 1 << 30, "x86_64", {}, (), ()).holds(1)


def test_only_the_bridge_imports_ray() -> None:
    """No other file of node or command imports Ray, not even inside a function."""
    found = set()
    for path in (*(ROOT / "node").rglob("*.py"), *(ROOT / "cli").rglob("*.py")):
        if "templates" in path.parts:
            continue
        for one in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in one.names] if isinstance(one, ast.Import) else []
            if isinstance(one, ast.ImportFrom) and one.module:
                names = [one.module]
            if any(name.partition(".")[0] == "ray" for name in names):
                found.add(path.relative_to(ROOT).as_posix())
    assert found == {"node/processor/cluster/bridge.py"}
