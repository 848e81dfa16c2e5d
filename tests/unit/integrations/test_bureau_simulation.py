"""The simulated bureau, by the table of the specification."""

import asyncio
import hashlib
import hmac
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs.domain.money import Money
from ecs.domain.prequalification.application import CreditEnquiry, LoanType
from ecs.domain.prequalification.pan import Pan
from ecs.integrations.bureau.simulation import SimulatedBureau, clamped, simulated_score, term
from ecs.integrations.exceptions import BureauUnavailable

KEY = "tests-bureau-key-é"
SOMEBODY = "BCDPE2345G"


def an_enquiry(**changes: Any) -> CreditEnquiry:
    values: dict[str, Any] = {
        "application_id": UUID("0192f0c8-7d3a-7c1e-8a5b-3f2e1d0c9b8a"),
        "pan": Pan(SOMEBODY),
        "monthly_income": Money(50_000_00),
        "loan_type": LoanType.AUTO,
    }
    return CreditEnquiry(**(values | changes))


def points(**changes: Any) -> int:
    """What the facts alone are worth, without the application's own term."""
    enquiry = an_enquiry(**changes)
    score = simulated_score(enquiry, key=KEY.encode())
    return score - term(enquiry.application_id, key=KEY.encode())


enquiries = st.builds(
    CreditEnquiry,
    application_id=st.uuids(),
    pan=st.from_regex(r"[A-Z]{3}[ABCFGHJLPT][A-Z][0-9]{4}[A-Z]", fullmatch=True).map(Pan),
    monthly_income=st.integers(1, 100_000_000_00).map(Money),
    loan_type=st.sampled_from(LoanType),
)


class TestSimulatedScore:
    @pytest.mark.parametrize(
        ("income", "loan_type", "expected"),
        [
            pytest.param(75_000_00, LoanType.AUTO, 650, id="75,000 is not above 75,000"),
            pytest.param(75_000_01, LoanType.AUTO, 690, id="a paisa more is"),
            pytest.param(30_000_00, LoanType.AUTO, 650, id="30,000 is not below 30,000"),
            pytest.param(29_999_99, LoanType.AUTO, 630, id="a paisa less is"),
            pytest.param(50_000_00, LoanType.PERSONAL, 640, id="a personal loan"),
            pytest.param(50_000_00, LoanType.HOME, 660, id="a home"),
            pytest.param(100_000_000_00, LoanType.HOME, 700, id="the best"),
            pytest.param(1, LoanType.PERSONAL, 620, id="the worst"),
        ],
    )
    def test_is_what_the_facts_are_worth(
        self, income: int, loan_type: LoanType, expected: int
    ) -> None:
        assert points(monthly_income=Money(income), loan_type=loan_type) == expected

    @pytest.mark.parametrize(("pan", "score"), [("ABCDE1234F", 790), ("FGHIJ5678K", 610)])
    @given(enquiry=enquiries)
    def test_of_a_test_pan_is_fixed_whatever_else_is_told(
        self, pan: str, score: int, enquiry: CreditEnquiry
    ) -> None:
        asked = an_enquiry(
            application_id=enquiry.application_id,
            pan=Pan(pan),
            monthly_income=enquiry.monthly_income,
            loan_type=enquiry.loan_type,
        )
        assert simulated_score(asked, key=KEY.encode()) == score

    @given(enquiry=enquiries, pan=st.sampled_from([SOMEBODY, "ZZZPZ9999Z"]))
    def test_of_an_application_is_the_same_for_ever(self, enquiry: CreditEnquiry, pan: str) -> None:
        again = an_enquiry(
            application_id=UUID(bytes=enquiry.application_id.bytes),
            pan=Pan(pan),
            monthly_income=enquiry.monthly_income,
            loan_type=enquiry.loan_type,
        )
        key = KEY.encode()
        assert simulated_score(again, key=key) == simulated_score(enquiry, key=key)

    def test_of_one_application_is_a_number_written_down_once(self) -> None:
        # Whoever changes the simulation changes what was told: that needs another name for it.
        assert simulated_score(an_enquiry(), key=b"a key for ever") == 652

    @given(enquiry=enquiries)
    def test_is_a_score_that_exists(self, enquiry: CreditEnquiry) -> None:
        assert 300 <= simulated_score(enquiry, key=KEY.encode()) <= 900


class TestClamped:
    @given(score=st.integers(-10_000, 10_000))
    def test_is_the_nearest_score_that_exists(self, score: int) -> None:
        nearest = clamped(score)
        assert 300 <= nearest <= 900
        assert abs(nearest - score) == min(abs(other - score) for other in range(300, 901))


class TestTerm:
    @given(application_id=st.uuids(), key=st.binary(min_size=1, max_size=80))
    def test_is_what_the_specification_writes(self, application_id: UUID, key: bytes) -> None:
        digest = hmac.new(key, application_id.bytes, hashlib.sha256).digest()
        expected = int.from_bytes(digest[:8], "big") % 11 - 5
        assert term(application_id, key=key) == expected
        assert -5 <= expected <= 5

    def test_takes_every_value_of_its_range(self) -> None:
        assert {term(uuid4(), key=b"key") for _ in range(1_000)} == set(range(-5, 6))

    def test_depends_on_the_key(self) -> None:
        ids = [uuid4() for _ in range(50)]
        assert [term(one, key=b"1") for one in ids] != [term(one, key=b"2") for one in ids]


class TestSimulatedBureau:
    async def test_answers_by_the_utf8_of_its_key(self) -> None:
        score = await SimulatedBureau(KEY).score(an_enquiry())
        assert score == simulated_score(an_enquiry(), key=KEY.encode())

    async def test_refuses_in_a_drill(self) -> None:
        with pytest.raises(BureauUnavailable):
            await SimulatedBureau(KEY, behaviour="refuses").score(an_enquiry())

    async def test_hangs_in_a_drill(self) -> None:
        asking = asyncio.create_task(SimulatedBureau(KEY, behaviour="hangs").score(an_enquiry()))
        _, unanswered = await asyncio.wait({asking}, timeout=0.1)
        assert unanswered == {asking}
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    def test_has_a_name_that_says_how_it_counts(self) -> None:
        assert SimulatedBureau(KEY).name == "simulation-1"
