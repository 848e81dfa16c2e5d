from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from ecs.api.schemas.common import (
    Answer,
    MoneyText,
    PersonName,
    decode_cursor,
    encode_cursor,
    format_rate,
    page,
    plain_text,
)
from ecs.wire.forms import StrictUuid, format_instant, parse_instant

offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
# Hypothesis wants naive bounds.
instants = st.datetimes(datetime(1900, 1, 1), datetime(9000, 1, 1), timezones=offsets)  # noqa: DTZ001


@given(instants)
def test_an_instant_survives_the_journey(instant: datetime) -> None:
    assert parse_instant(format_instant(instant)) == instant
    assert format_instant(instant).endswith("Z")
    assert parse_instant(instant.isoformat()).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31",
        "2026-01-31T09:30:00",
        "2026-01-31 09:30:00Z",
        "2026-01-31T09:30Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T23:59:60Z",
        "2026-02-30T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:59-14:00",
        "2026-01-31T09:30:00+0200",
        "2026-01-31T09:30:00+25:00",
        "2026-W05-6T09:30:00Z",
        "2026-01-31T09:30:00Z\n",
        "\u0662026-01-31T09:30:00Z",
        "now",
        "",
        0,
        1.5,
        None,
        True,
    ],
)
def test_other_instants_are_refused(text: object) -> None:
    with pytest.raises(PydanticCustomError):
        parse_instant(text)


@given(st.uuids())
def test_a_cursor_leads_back(last_id: UUID) -> None:
    assert decode_cursor(encode_cursor(last_id)) == last_id


@given(st.text(max_size=40))
def test_a_cursor_has_one_spelling(text: str) -> None:
    try:
        last_id = decode_cursor(text)
    except PydanticCustomError:
        return
    assert encode_cursor(last_id) == text


@pytest.mark.parametrize(
    "text",
    [
        "01890000000070008000000000000001",
        "{01890000-0000-7000-8000-000000000001}",
        "urn:uuid:01890000-0000-7000-8000-000000000001",
        " 01890000-0000-7000-8000-000000000001",
        "01890000-0000-7000-8000-000000000001\n",
        "\uff101890000-0000-7000-8000-000000000001",
        1,
        b"0123456789abcdef",
    ],
)
def test_other_spellings_of_an_id_are_refused(text: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(StrictUuid).validate_python(text)


@given(st.integers(-(10**12) * 100 + 1, 10**12 * 100 - 1))
def test_every_amount_of_cents_has_a_text(cents: int) -> None:
    text = f"{Decimal(cents).scaleb(-2):.2f}"

    assert TypeAdapter(MoneyText).validate_python(text) == text


@pytest.mark.parametrize(
    "text", ["1", "1.0", "1.000", "+1.00", "1,00", ".50", "1e2", "1234567890123.00", " 1.00", 1]
)
def test_other_amounts_are_refused(text: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(MoneyText).validate_python(text)


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        ("0.1536625", "0.153662"),
        ("0.1536635", "0.153664"),
        ("1", "1.000000"),
        ("0E-9", "0.000000"),
        ("1E-7", "0.000000"),
    ],
)
def test_rates_have_six_decimals_half_to_even(rate: str, text: str) -> None:
    assert format_rate(Decimal(rate)) == text


def test_names_are_brought_to_one_form() -> None:
    assert TypeAdapter(PersonName).validate_python("  Jose\u0301 ") == "Jos\u00e9"


@pytest.mark.parametrize(
    "name", ["", "  ", "a\x00b", "a\nb", "a\u202eb", "a\u2028b", "\ud800", "x" * 201, 1, None]
)
def test_names_are_text_that_can_be_seen(name: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(PersonName).validate_python(name)


@given(st.text())
def test_plain_text_once_is_plain_text_for_ever(text: str) -> None:
    try:
        once = plain_text(text)
    except PydanticCustomError:
        return
    assert plain_text(once) == once


@dataclass(frozen=True)
class Row:
    id: UUID


class RowOut(Answer):
    id: UUID


@given(ids=st.lists(st.uuids(), max_size=30), limit=st.integers(1, 20))
def test_pages_chain_until_the_last(ids: list[UUID], limit: int) -> None:
    fetched = [Row(row_id) for row_id in ids[: limit + 1]]

    fields = page(fetched, limit=limit, show=lambda row: RowOut(id=row.id))

    assert [row.id for row in fields["data"]] == ids[:limit]
    assert fields["has_more"] == (len(ids) > limit)
    expected = encode_cursor(ids[limit - 1]) if len(ids) > limit else None
    assert fields["next_cursor"] == expected
