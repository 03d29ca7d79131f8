import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evospace.errors import DataError
from evospace.space.architecture import Architecture

BLOCKS = st.lists(st.lists(st.sampled_from("abcd"), max_size=6), max_size=4)


@given(BLOCKS)
def test_neither_order_nor_repetition_matters(blocks: list[list[str]]) -> None:
    assert Architecture.of(blocks) == Architecture.of([[*reversed(names), *names] for names in blocks])


@given(BLOCKS)
def test_json_gives_the_architecture_back(blocks: list[list[str]]) -> None:
    architecture = Architecture.of(blocks)
    assert Architecture.from_json(json.loads(json.dumps(architecture.to_json()))) == architecture


@pytest.mark.parametrize("data", [None, "ab", {"a": 1}, ["ab"], [[1]], [[["a"]]], [None]])
def test_another_form_of_json_is_a_data_error(data: Any) -> None:
    with pytest.raises(DataError, match="an architecture is"):
        Architecture.from_json(data)


def test_text_shows_the_identity_as_a_dash() -> None:
    assert str(Architecture.of([["b", "a"], [], ["c"]])) == "a+b | - | c"
