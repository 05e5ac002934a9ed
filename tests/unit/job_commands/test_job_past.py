"""The past of a job, asked of a node in parts: whole, or with a word of what the node has discarded."""

from typing import Any

import pytest

from cli.errors import NotFound
from cli.job_watch import past_events, require_told


class Answers:
    """A node that gives these answers, one after another, and remembers from which height each was asked for."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers = list(answers)
        self.asked: list[int] = []

    def call(self, method: str, *params: Any) -> Any:
        assert (method, params[0]) == ("jobs_events", 7)
        self.asked.append(params[1])
        return self.answers.pop(0)


def test_events_are_asked_for_until_the_node_says_that_it_is_the_end() -> None:
    """Each answer says where to go on; nothing was discarded, so the past is whole."""
    node = Answers(
        {"events": [{"name": "a"}], "next": 1_005, "kept_from": 5},
        {"events": [{"name": "b"}], "next": None, "kept_from": 1_005},
    )
    past = past_events(node, 7, 5)
    assert ([one["name"] for one in past.events], past.kept_from, node.asked) == (["a", "b"], None, [5, 1_005])
    require_told(past, 7)


def test_what_a_node_has_discarded_is_said() -> None:
    """A past without its beginning names the first block that is there; without any event it is not to be had."""
    first = {"events": [], "next": 1_005, "kept_from": 1_005}
    past = past_events(Answers(first, {"events": [{"name": "b"}], "next": None, "kept_from": 1_200}), 7, 5)
    assert past.kept_from == 1_200
    require_told(past, 7)
    empty = past_events(Answers(first, {"events": [], "next": None, "kept_from": 1_200}), 7, 5)
    with pytest.raises(NotFound, match="before block 1200"):
        require_told(empty, 7)
