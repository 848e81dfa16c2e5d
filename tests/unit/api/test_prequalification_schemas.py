import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from ecs.api.schemas.prequalification import INCOME_MAX, LOAN_MAX, ApplicationIn, parse_amount

FIELDS = {"monthly_income_inr": INCOME_MAX, "loan_amount_inr": LOAN_MAX}
MINOR = st.integers(1, INCOME_MAX * 100)


def accepts(text: str, *, most: int) -> bool:
    try:
        parse_amount(text, most=most)
    except PydanticCustomError:
        return False
    return True


class TestParseAmount:
    @given(minor=MINOR)
    def test_reads_every_paisa_from_text_and_from_a_float(self, minor: int) -> None:
        text = f"{minor // 100}.{minor % 100:02d}"

        assert parse_amount(text, most=INCOME_MAX).cents == minor
        assert parse_amount(float(text), most=INCOME_MAX).cents == minor

    @given(amount=st.floats(allow_nan=False, allow_infinity=False))
    def test_never_rounds(self, amount: float) -> None:
        try:
            money = parse_amount(amount, most=LOAN_MAX)
        except PydanticCustomError:
            return
        assert Decimal(money.cents) / 100 == Decimal(repr(amount))

    @pytest.mark.parametrize(("field", "most"), FIELDS.items())
    @given(text=st.from_regex(r"[0-9]{1,11}(\.[0-9]{0,3})?", fullmatch=True))
    def test_takes_the_texts_of_the_description(self, field: str, most: int, text: str) -> None:
        _, described = ApplicationIn.model_json_schema()["properties"][field]["anyOf"]

        assert accepts(text, most=most) == bool(re.search(described["pattern"], text))

    @pytest.mark.parametrize(("field", "most"), FIELDS.items())
    def test_takes_the_most_and_not_a_paisa_more(self, field: str, most: int) -> None:
        assert accepts(f"{most}.00", most=most)
        assert not accepts(f"{most}.01", most=most)
        assert ApplicationIn.model_json_schema()["properties"][field]["anyOf"][0]["maximum"] == most
