from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs.domain.jobs import ATTEMPTS_MAX, pause_before_retry


@pytest.mark.parametrize(
    ("attempts", "seconds"), [(1, 1), (2, 5), (3, 15), (4, 60), (5, None), (6, None), (99, None)]
)
def test_pauses_grow_and_end_with_the_fifth_attempt(attempts: int, seconds: int | None) -> None:
    pause = pause_before_retry(attempts)
    assert pause == (None if seconds is None else timedelta(seconds=seconds))


@given(attempts=st.integers(1, ATTEMPTS_MAX - 2))
def test_a_later_pause_is_never_shorter(attempts: int) -> None:
    sooner, later = pause_before_retry(attempts), pause_before_retry(attempts + 1)
    assert sooner is not None
    assert later is not None
    assert timedelta(0) < sooner <= later


@pytest.mark.parametrize("attempts", [0, -1])
def test_there_is_no_pause_before_the_first_attempt(attempts: int) -> None:
    with pytest.raises(AssertionError):
        pause_before_retry(attempts)
