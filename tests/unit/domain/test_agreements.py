from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs.domain.credit.agreements import (
    ACTIVE,
    ALLOWED,
    TAKEN,
    Acceptance,
    AcceptanceRefusal,
    OfferStatus,
    refuse_acceptance,
)
from ecs.domain.money import Money
from ecs.services.acceptance_service import EXPLANATIONS, REFUSED_BY_STATUS

END = frozenset({"denied", "referred", "accepted", "expired", "void"})


def acceptance(
    *, status: str = "accepting", enabled: bool = True, account: bool = False
) -> Acceptance:
    return Acceptance(
        offer_id=UUID(int=1),
        user_id=UUID(int=2),
        status=OfferStatus(status),
        credit_limit=Money(455_000),
        currency="BRL",
        user_enabled=enabled,
        account_exists=account,
    )


class TestLife:
    @pytest.mark.parametrize(
        ("status", "following"),
        [
            ("offered", {"accepting", "expired"}),
            ("accepting", {"accepted", "offered", "void"}),
            *((status, set()) for status in sorted(END)),
        ],
    )
    def test_follows_the_contract(self, status: str, following: set[str]) -> None:
        assert ALLOWED[OfferStatus(status)] == following

    def test_can_always_come_to_an_end(self) -> None:
        reached = {status for status, following in ALLOWED.items() if not following}
        assert reached == END
        assert all(ALLOWED[status] & reached or status in reached for status in ALLOWED)

    def test_only_what_is_open_can_be_active(self) -> None:
        assert {status for status in OfferStatus if ALLOWED[status]} == ACTIVE
        assert not TAKEN & END - {"accepted"}


class TestRefuseAcceptance:
    @pytest.mark.parametrize(
        ("found", "refusal"),
        [
            pytest.param(acceptance(), None, id="nothing-speaks-against-it"),
            pytest.param(acceptance(account=True), "account_exists", id="account"),
            pytest.param(acceptance(enabled=False), "user_disabled", id="disabled"),
            pytest.param(
                acceptance(account=True, enabled=False), "account_exists", id="account-first"
            ),
            pytest.param(
                acceptance(status="void", account=True, enabled=False),
                "offer_not_accepting",
                id="status-before-all",
            ),
        ],
    )
    def test_names_the_rule_that_no_longer_holds(
        self, found: Acceptance, refusal: str | None
    ) -> None:
        assert refuse_acceptance(found) == refusal

    @given(
        status=st.sampled_from(OfferStatus).filter(lambda s: s is not OfferStatus.ACCEPTING),
        enabled=st.booleans(),
        account=st.booleans(),
    )
    def test_opens_nothing_from_an_offer_that_is_not_being_accepted(
        self, *, status: OfferStatus, enabled: bool, account: bool
    ) -> None:
        found = acceptance(status=status, enabled=enabled, account=account)
        assert refuse_acceptance(found) is AcceptanceRefusal.OFFER_NOT_ACCEPTING

    def test_every_refusal_has_an_explanation(self) -> None:
        assert set(EXPLANATIONS) == set(AcceptanceRefusal)

    def test_every_status_that_cannot_be_accepted_has_its_refusal(self) -> None:
        assert set(REFUSED_BY_STATUS) == set(OfferStatus) - TAKEN - {OfferStatus.OFFERED}
