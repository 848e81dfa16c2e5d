import hashlib
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs.domain.credit.history import TransactionHistory
from tests.unit.domain.credit.people import Row, any_rows, history

ONE = UUID(int=1)
MOMENT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


def one_row(
    *, row_id: UUID = ONE, at: datetime = MOMENT, cents: int = -1250, category: str | None = "fee"
) -> TransactionHistory:
    return TransactionHistory(
        ids=(row_id,), occurred_at=(at,), amounts_minor=(cents,), categories=(category,)
    )


class TestTransactionHistory:
    def test_is_hashed_over_its_published_canonical_form(self) -> None:
        text = (
            '[["00000000-0000-0000-0000-000000000001",'
            '"2026-03-01T12:30:00.000000+00:00",-1250,"fee"]]'
        )
        assert one_row().sha256() == hashlib.sha256(text.encode()).hexdigest()

    @given(rows=any_rows(), data=st.data())
    def test_has_one_hash_whatever_the_order_of_its_rows(
        self, rows: list[Row], data: st.DataObject
    ) -> None:
        straight = history(rows)
        order = data.draw(st.permutations(range(len(rows))))
        shuffled = TransactionHistory(
            ids=tuple(straight.ids[index] for index in order),
            occurred_at=tuple(straight.occurred_at[index] for index in order),
            amounts_minor=tuple(straight.amounts_minor[index] for index in order),
            categories=tuple(straight.categories[index] for index in order),
        )
        assert shuffled.sha256() == straight.sha256()
        assert shuffled.sorted_ids() == straight.sorted_ids()

    @pytest.mark.parametrize(
        "other",
        [
            pytest.param(one_row(row_id=UUID(int=2)), id="id"),
            pytest.param(one_row(at=MOMENT + timedelta(microseconds=1)), id="moment"),
            pytest.param(one_row(cents=1250), id="sign"),
            pytest.param(one_row(category=None), id="category"),
        ],
    )
    def test_changes_its_hash_with_every_field(self, other: TransactionHistory) -> None:
        assert other.sha256() != one_row().sha256()

    def test_hashes_the_instant_not_its_zone(self) -> None:
        elsewhere = MOMENT.astimezone(timezone(timedelta(hours=-3)))
        assert one_row(at=elsewhere).sha256() == one_row().sha256()

    def test_refuses_columns_of_different_length(self) -> None:
        with pytest.raises(ValueError, match=r"^the columns of a history differ in length$"):
            TransactionHistory(ids=(ONE,), occurred_at=(), amounts_minor=(), categories=())

    def test_refuses_a_moment_without_zone(self) -> None:
        with pytest.raises(ValueError, match=r"^a moment of a history has no time zone$"):
            one_row(at=MOMENT.replace(tzinfo=None))

    def test_knows_whether_any_row_says_what_it_was_for(self) -> None:
        assert one_row().categorised
        assert not one_row(category=None).categorised
