import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Final
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs.domain import consents
from ecs.domain.consents import (
    LOCALES,
    TEXTS_FOLDER,
    Consent,
    ConsentText,
    Purpose,
    find_purpose,
    find_text,
    released_texts,
)

# A released text never changes; write a new version.
RELEASED: Final = {
    "emotion.credit_decision.en.1.0.0.txt": (
        "6996ea8b1d8cc63e299f625542176c220e17e1da8f48f3aaf5edde58269031a0"
    ),
    "emotion.credit_decision.pt-BR.1.0.0.txt": (
        "bc5b318349af096561d6e600f8df730d9349c9a4ceaa50dfb8cca0eb74b7834b"
    ),
}
EVERYWHERE: Final = list(product(Purpose, LOCALES))
EMOTION: Final = Purpose.EMOTION_CREDIT_DECISION


def test_a_released_text_never_changes() -> None:
    found = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in TEXTS_FOLDER.iterdir()
    }
    assert found == RELEASED


@pytest.mark.parametrize(("purpose", "locale"), EVERYWHERE)
def test_every_purpose_has_its_words_in_every_locale(purpose: Purpose, locale: str) -> None:
    words = find_text(purpose, locale=locale)
    assert words is not None
    assert (words.purpose, words.locale) == (purpose, locale)
    assert words.sha256 == hashlib.sha256(words.text.encode()).hexdigest()
    assert words == find_text(purpose, locale=locale, version=words.version)


def test_every_locale_has_the_same_versions() -> None:
    for purpose in Purpose:
        assert len({frozenset(released_texts()[purpose, locale]) for locale in LOCALES}) == 1


@pytest.mark.parametrize("locale", LOCALES)
def test_the_words_name_the_limits_that_the_decision_keeps(locale: str) -> None:
    words = find_text(EMOTION, locale=locale, version="1.0.0")
    assert words is not None
    assert {"10 %", "30"} <= set(re.findall(r"\d+ %|\b30\b", words.text))


@pytest.mark.parametrize(
    ("locale", "version"),
    [
        ("de", None),
        ("EN", None),
        ("pt", None),
        ("", None),
        ("en", ""),
        ("en", "1.0"),
        ("en", "9.9.9"),
        ("en", "../en.1.0.0"),
    ],
)
def test_there_are_no_other_words(locale: str, version: str | None) -> None:
    assert find_text(EMOTION, locale=locale, version=version) is None


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the texts of a test lie."""
    monkeypatch.setattr(consents, "TEXTS_FOLDER", tmp_path)
    released_texts.cache_clear()
    yield tmp_path
    released_texts.cache_clear()


def test_the_newest_words_are_those_of_the_highest_number(folder: Path) -> None:
    for version in ("1.9.0", "1.10.0", "1.2.11"):
        (folder / f"{EMOTION}.en.{version}.txt").write_text(f"Ol\u00e1, {version}", "utf-8")
    words = find_text(EMOTION, locale="en")
    assert words == ConsentText(
        purpose=EMOTION,
        locale="en",
        version="1.10.0",
        text="Ol\u00e1, 1.10.0",
        sha256=hashlib.sha256("Ol\u00e1, 1.10.0".encode()).hexdigest(),
    )
    assert words != find_text(EMOTION, locale="en", version="1.9.0")


@pytest.mark.parametrize(
    "name", ["words.txt", f"{EMOTION}.en.1.0.txt", f"{EMOTION}.en.1.0.0.txt.txt"]
)
def test_a_text_of_another_name_is_refused(folder: Path, name: str) -> None:
    (folder / name).touch()
    form = "a text is called <purpose>.<locale>.<version>.txt"
    with pytest.raises(ValueError, match=f"^{re.escape(f'{name}: {form}')}$"):
        released_texts()


@given(st.text())
def test_a_purpose_is_known_by_its_exact_name_only(name: str) -> None:
    assert find_purpose(name) == (EMOTION if name == "emotion.credit_decision" else None)
    assert find_purpose(EMOTION.value) is EMOTION


@pytest.mark.parametrize("withdrawn", [False, True])
def test_a_consent_is_active_until_it_is_withdrawn(*, withdrawn: bool) -> None:
    now = datetime(2026, 1, 31, tzinfo=UTC)
    consent = Consent(
        id=uuid4(),
        purpose=EMOTION,
        client_id=uuid4(),
        locale="en",
        text_version="1.0.0",
        text_sha256="",
        granted_at=now,
        withdrawn_at=now if withdrawn else None,
    )
    assert consent.status == ("withdrawn" if withdrawn else "active")
