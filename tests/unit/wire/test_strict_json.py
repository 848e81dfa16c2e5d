import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs.wire.strict_json import NotStrictJson, parse_json
from tests.corpora import hostile_json, odd_json

HOSTILE = hostile_json()
ODD = odd_json()

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=20,
)


@pytest.mark.parametrize("name", HOSTILE)
def test_refuses_what_readers_could_disagree_about(name: str) -> None:
    with pytest.raises(NotStrictJson):
        parse_json(HOSTILE[name])


@pytest.mark.parametrize("name", ODD)
def test_reads_odd_but_good_json(name: str) -> None:
    assert parse_json(ODD[name]) == json.loads(ODD[name])


@given(json_values)
def test_reads_everything_that_json_can_say(value: Any) -> None:
    assert parse_json(json.dumps(value).encode()) == value


@given(st.binary())
def test_returns_or_refuses_and_never_breaks(text: bytes) -> None:
    with contextlib.suppress(NotStrictJson):
        parse_json(text)


def test_says_where_and_never_what() -> None:
    with pytest.raises(NotStrictJson) as refused:
        parse_json(b'{"password": "hunter2",\n nonsense}')

    assert "line 2" in str(refused.value)
    assert "hunter2" not in str(refused.value)
    assert "nonsense" not in str(refused.value)
