from uuid import UUID

from ecs.domain.money import Money
from ecs.domain.prequalification.application import ApplicationForm, LoanType, NewApplication
from ecs.domain.prequalification.pan import Pan


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
