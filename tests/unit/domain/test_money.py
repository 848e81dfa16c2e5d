from decimal import ROUND_UP, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs.domain.money import Money
from ecs.domain.rate import quantised


class TestMoney:
    @given(cents=st.integers(-(10**14) + 1, 10**14 - 1))
    def test_reads_what_it_writes(self, cents: int) -> None:
        assert Money.parse(str(Money(cents))) == Money(cents)

    @pytest.mark.parametrize(
        ("text", "cents"),
        [
            pytest.param("4550.00", 455_000, id="units"),
            pytest.param("-0.05", -5, id="negative cents"),
            pytest.param("-12.50", -1250, id="negative"),
            pytest.param("000000000001.01", 101, id="leading zeros within twelve digits"),
            pytest.param("-0.00", 0, id="negative zero"),
        ],
    )
    def test_reads_amounts(self, text: str, cents: int) -> None:
        assert Money.parse(text) == Money(cents)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "1",
            "1.0",
            "1.000",
            "+1.00",
            ".50",
            "1,00",
            " 1.00",
            "1.00\n",
            "1e2.00",
            "\u0663.00",
            "1234567890123.00",
            "NaN",
            "--1.00",
        ],
    )
    def test_refuses_every_other_form_without_echoing_it(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"^not an amount with two decimals$"):
            Money.parse(text)

    @pytest.mark.parametrize(
        ("cents", "text"),
        [(0, "0.00"), (5, "0.05"), (-5, "-0.05"), (455_000, "4550.00"), (-101, "-1.01")],
    )
    def test_writes_amounts(self, cents: int, text: str) -> None:
        assert str(Money(cents)) == text

    def test_adds_and_subtracts(self) -> None:
        assert Money(5) + Money(7) == Money(12)
        assert Money(5) - Money(7) == Money(-2)

    @pytest.mark.parametrize(
        ("amount", "cents"),
        [(0.125, 12), (0.375, 38), (-0.125, -12), (5359.285688, 535_929), (0.0, 0)],
    )
    def test_rounds_to_the_nearest_cent_half_to_even(self, amount: float, cents: int) -> None:
        assert Money.nearest(amount) == Money(cents)

    @pytest.mark.parametrize(("factor", "cents"), [("0.5", 2), ("1.5", 8), ("0.3", 2), ("0.1", 0)])
    def test_scales_half_to_even(self, factor: str, cents: int) -> None:
        assert Money(5).times(Decimal(factor)) == Money(cents)

    def test_rounds_half_to_even_whatever_the_thread_prefers(self) -> None:
        with localcontext(rounding=ROUND_UP):
            assert Money.nearest(0.125) == Money(12)
            assert Money(5).times(Decimal("0.5")) == Money(2)
            assert str(quantised(Decimal("0.0000005"))) == "0.000000"

    @given(cents=st.integers(0, 10**9))
    def test_goes_down_to_a_step_and_no_further(self, cents: int) -> None:
        stepped = Money(cents).down_to(Money(1000))
        assert stepped.cents % 1000 == 0
        assert 0 <= cents - stepped.cents < 1000

    def test_has_an_amount_in_units(self) -> None:
        assert Money(442_050).amount == 4420.5


class TestQuantised:
    @pytest.mark.parametrize(
        ("value", "text"),
        [(0.0000005, "0.000000"), (Decimal("0.0000015"), "0.000002"), (1.03, "1.030000")],
    )
    def test_prints_six_decimals_half_to_even(self, value: float | Decimal, text: str) -> None:
        assert str(quantised(value)) == text

    def test_prints_as_many_decimals_as_asked(self) -> None:
        assert str(quantised(0.1, places=3)) == "0.100"
