"""The loans of the demo: PANs that are taken, and lines that fit."""

import random

from hypothesis import given
from hypothesis import strategies as st

from ecs.domain.prequalification.application import Status
from ecs.domain.prequalification.pan import Pan
from scripts.demo.loans import WISHES, Reply, random_pan
from scripts.demo.report import WIDTH, told
from scripts.demo.roles import ROLES


class TestRandomPan:
    @given(seed=st.integers())
    def test_is_taken_as_a_persons(self, seed: int) -> None:
        pan = Pan.parse(random_pan(random.Random(seed)))
        assert pan.text[3] == "P"

    def test_is_hardly_ever_the_same(self) -> None:
        chance = random.Random(1)
        assert len({random_pan(chance) for _ in range(1_000)}) == 1_000


class TestTold:
    def test_fits_whatever_came(self) -> None:
        for wish in WISHES:
            for status in Status:
                for score, most in ((None, None), (900, "1000000000.00")):
                    line = told(Reply(wish=wish, status=status, score=score, most=most))
                    assert len(f"  {line}") <= WIDTH

    def test_says_what_a_person_may_borrow(self) -> None:
        reply = Reply(wish=WISHES[0], status=Status.PRE_APPROVED, score=685, most="4320000.00")
        assert told(reply).endswith("pre approved   score 685, at most 4,320,000.00")

    def test_says_that_nobody_has_decided_yet(self) -> None:
        reply = Reply(wish=WISHES[0], status=Status.PENDING, score=None, most=None)
        assert told(reply).endswith("pending        no score yet")


class TestWishes:
    def test_there_is_somebody_for_each(self) -> None:
        assert len(WISHES) < len(ROLES)
