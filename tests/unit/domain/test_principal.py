from uuid import UUID

import pytest

from ecs.domain.principal import Principal, PrincipalKind


@pytest.mark.parametrize(
    ("held", "asked", "lacking"),
    [
        pytest.param({"offers:read"}, {"offers:read"}, set(), id="what is held"),
        pytest.param({"offers:read", "credit:apply"}, {"offers:read"}, set(), id="more is held"),
        pytest.param({"offers:read"}, {"offers:read", "credit:apply"}, {"credit:apply"}, id="some"),
        pytest.param(set(), {"offers:read"}, {"offers:read"}, id="nothing is held"),
        pytest.param({"offers:read"}, set(), set(), id="nothing is asked"),
    ],
)
def test_a_caller_lacks_what_it_does_not_hold(
    held: set[str], asked: set[str], lacking: set[str]
) -> None:
    caller = Principal(
        kind=PrincipalKind.USER, id=UUID(int=1), scopes=frozenset(held), token_id=UUID(int=2)
    )
    assert caller.lacks(frozenset(asked)) == lacking
