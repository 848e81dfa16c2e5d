import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs.domain.money import Money
from ecs.domain.prequalification.application import Status
from ecs.domain.prequalification.decision import Outcome, affordable_loan, decide, review

SCORES = st.integers(300, 900)
INCOMES = st.integers(1, 100_000_000_00).map(Money)
LOANS = st.integers(1, 1_000_000_000_00).map(Money)
RANK = {Status.REJECTED: 0, Status.MANUAL_REVIEW: 1, Status.PRE_APPROVED: 2}


def rupees(amount: int) -> Money:
    return Money(100 * amount)


class TestDecide:
    @pytest.mark.parametrize(
        ("score", "income", "loan", "status", "approved"),
        [
            pytest.param(649, 50_000, 500_000, Status.REJECTED, None, id="one point short"),
            pytest.param(700, 25_000, 1_200_000, Status.MANUAL_REVIEW, None, id="equality"),
            pytest.param(750, 50_000, 2_000_000, Status.PRE_APPROVED, 2_400_000, id="approved"),
            pytest.param(650, 50_000, 2_000_000, Status.PRE_APPROVED, 2_400_000, id="just enough"),
            pytest.param(900, 1, 1_000_000_000, Status.MANUAL_REVIEW, None, id="too large a loan"),
            pytest.param(300, 100_000_000, 1, Status.REJECTED, None, id="rich, but no score"),
        ],
    )
    def test_follows_the_acceptance_table(
        self, score: int, income: int, loan: int, status: Status, approved: int | None
    ) -> None:
        outcome = decide(score=score, monthly_income=rupees(income), loan_amount=rupees(loan))

        assert outcome.status is status
        assert outcome.max_approved == (None if approved is None else rupees(approved))

    @given(score=SCORES, income=INCOMES, loan=LOANS)
    def test_approves_exactly_who_scores_and_affords_it(
        self, score: int, income: Money, loan: Money
    ) -> None:
        outcome = decide(score=score, monthly_income=income, loan_amount=loan)

        earned = score >= 650 and 48 * income.cents > loan.cents
        assert (outcome.status is Status.PRE_APPROVED) == earned
        assert (outcome.max_approved is not None) == earned
        assert (outcome.status is Status.REJECTED) == (score < 650)
        assert outcome.reason

    @given(scores=st.tuples(SCORES, SCORES), income=INCOMES, loan=LOANS)
    def test_is_never_harder_on_the_better_score(
        self, scores: tuple[int, int], income: Money, loan: Money
    ) -> None:
        worse, better = (
            decide(score=score, monthly_income=income, loan_amount=loan) for score in sorted(scores)
        )

        assert RANK[better.status] >= RANK[worse.status]

    @given(score=SCORES, incomes=st.tuples(INCOMES, INCOMES), loan=LOANS)
    def test_is_never_harder_on_the_larger_income(
        self, score: int, incomes: tuple[Money, Money], loan: Money
    ) -> None:
        less, more = (
            decide(score=score, monthly_income=income, loan_amount=loan)
            for income in sorted(incomes)
        )

        assert RANK[more.status] >= RANK[less.status]

    @given(income=INCOMES)
    def test_is_exact_to_the_paisa(self, income: Money) -> None:
        edge = affordable_loan(income)

        assert at(income, edge).status is Status.MANUAL_REVIEW
        assert at(income, edge + Money(1)).status is Status.MANUAL_REVIEW
        assert at(income, edge - Money(1)).status is Status.PRE_APPROVED


def at(income: Money, loan: Money) -> Outcome:
    return decide(score=650, monthly_income=income, loan_amount=loan)


class TestReview:
    @given(income=INCOMES)
    def test_names_an_amount_only_with_an_approval(self, income: Money) -> None:
        approved, rejected = (
            review(status=status, reason="Asked.", monthly_income=income)
            for status in (Status.PRE_APPROVED, Status.REJECTED)
        )

        assert approved.max_approved == affordable_loan(income)
        assert rejected.max_approved is None
        assert approved.reason == rejected.reason == "Asked."
