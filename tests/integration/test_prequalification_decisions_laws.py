"""Both consumers, given any order and any repetition of their messages: one end of it."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecs.bootstrap import Application
from ecs.domain.money import Money
from ecs.domain.prequalification.application import Status
from ecs.domain.prequalification.decision import decide
from tests.integration.pipeline_support import (
    SCORE,
    Asked,
    a_notice,
    a_submission,
    an_application,
    forget_everything,
    reports_of,
    states_of,
)

APPLICATIONS = 3
INCOME = 25_000_00
LOANS = (500_000_00, 1_200_000_00, 2_000_000_00)

law = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
# Which consumer acts, and on the messages of which applications, in which order.
steps = st.lists(
    st.tuples(
        st.sampled_from(["report", "decide"]),
        st.lists(st.integers(0, APPLICATIONS - 1), min_size=1, max_size=5),
    ),
    max_size=8,
)
everything = [("report", [0, 1, 2]), ("decide", [2, 1, 0])]


class Walk:
    """Applications, and the messages about them that are given again and again."""

    def __init__(self, ecs: Application, owner: Any, user_id: UUID, *, score: int) -> None:
        self._ecs, self._owner, self._user_id = ecs, owner, user_id
        self.bureau = Asked(score=score)
        self._service = reports_of(ecs, self.bureau)
        self.ids: list[UUID] = []

    async def begin(self) -> None:
        await forget_everything(self._owner)
        self.ids = [
            await an_application(self._owner, self._user_id, income=INCOME, loan=loan)
            for loan in LOANS
        ]
        self._submissions = [await a_submission(self._owner, one) for one in self.ids]
        self._notices = [a_notice(one, event_id=uuid4()) for one in self.ids]

    async def go(self, consumer: str, chosen: Sequence[int]) -> None:
        if consumer == "report":
            await self._service.report([self._submissions[one] for one in chosen])
        else:
            await self._ecs.prequalification_decisions.decide(
                [self._notices[one] for one in chosen]
            )


def expected(loan: int, score: int) -> Status:
    return decide(score=score, monthly_income=Money(INCOME), loan_amount=Money(loan)).status


class TestAnyOrderOfMessages:
    @law
    @given(walk=steps, score=st.sampled_from([649, SCORE]))
    async def test_ends_in_one_report_and_one_decision(
        self,
        ecs: Application,
        owner: Any,
        user_id: UUID,
        walk: Sequence[tuple[str, Sequence[int]]],
        score: int,
    ) -> None:
        walker = Walk(ecs, owner, user_id, score=score)
        await walker.begin()
        for consumer, chosen in [*walk, *everything, *walk]:
            await walker.go(consumer, chosen)
        for state, loan in zip(await states_of(owner, walker.ids), LOANS, strict=True):
            status = expected(loan, score)
            assert (state.status, state.version) == (status, 2)
            assert state.history == ["PENDING", status]
            assert (state.cibil_score, state.events, state.decryptions) == (score, 1, 1)
        assert len(walker.bureau.enquiries) == APPLICATIONS

    @law
    @given(walk=steps, late=steps)
    async def test_never_moves_what_was_reviewed(
        self,
        ecs: Application,
        owner: Any,
        user_id: UUID,
        walk: Sequence[tuple[str, Sequence[int]]],
        late: Sequence[tuple[str, Sequence[int]]],
    ) -> None:
        walker = Walk(ecs, owner, user_id, score=SCORE)
        await walker.begin()
        for consumer, chosen in [*walk, *everything]:
            await walker.go(consumer, chosen)
        await owner.execute(
            "UPDATE prequalification_applications SET status = 'REJECTED', version = version + 1"
            " WHERE status = 'MANUAL_REVIEW'"
        )
        before = await states_of(owner, walker.ids)
        for consumer, chosen in late:
            await walker.go(consumer, chosen)
        assert await states_of(owner, walker.ids) == before
