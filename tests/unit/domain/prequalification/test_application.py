from uuid import UUID

from ecs.domain.money import Money
from ecs.domain.prequalification.application import (
    ACTIVE,
    MOVES,
    ApplicationForm,
    LoanType,
    NewApplication,
    Status,
)
from ecs.domain.prequalification.pan import Pan

OFFICER = {Status.PRE_APPROVED, Status.REJECTED}


class TestMoves:
    def test_begin_at_pending_and_reach_every_other_status(self) -> None:
        reached = {target for targets in MOVES.values() for target in targets}

        assert reached == set(Status) - {Status.PENDING}

    def test_leave_pending_for_any_decision(self) -> None:
        assert MOVES[Status.PENDING] == {*OFFICER, Status.MANUAL_REVIEW}

    def test_leave_the_review_for_what_an_officer_decides(self) -> None:
        assert MOVES[Status.MANUAL_REVIEW] == OFFICER

    def test_end_with_a_decision(self) -> None:
        assert {status for status in Status if not MOVES[status]} == OFFICER

    def test_never_make_an_application_active_again(self) -> None:
        for status in set(Status) - ACTIVE:
            assert not MOVES[status] & ACTIVE


class TestActive:
    def test_is_everything_but_a_rejection(self) -> None:
        assert set(Status) - {Status.REJECTED} == ACTIVE


class TestNewApplication:
    def test_shows_neither_pan_nor_name(self) -> None:
        application = NewApplication(
            id=UUID(int=1),
            user_id=UUID(int=2),
            pan=Pan("ABCPE1234F"),
            applicant_name="Asha Rao",
            monthly_income=Money(1),
            loan_amount=Money(1),
            loan_type=LoanType.HOME,
        )

        assert "ABCPE1" not in repr(application)
        assert "Asha" not in repr(application)


class TestApplicationForm:
    def test_shows_neither_pan_nor_name(self) -> None:
        form = ApplicationForm(
            pan_number="ABCPE1234F",
            applicant_name="Asha Rao",
            monthly_income=Money(1),
            loan_amount=Money(1),
            loan_type=LoanType.HOME,
        )

        assert "ABCPE1" not in repr(form)
        assert "Asha" not in repr(form)
