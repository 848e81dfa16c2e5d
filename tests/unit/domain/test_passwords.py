import unicodedata
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs.domain.passwords import (
    CHARACTERS_MAX,
    PasswordFault,
    common_passwords,
    find_password_fault,
)


@pytest.mark.parametrize(
    ("password", "fault"),
    [
        pytest.param("x7!kfi2-q", PasswordFault.TOO_SHORT, id="nine bytes"),
        pytest.param("x7!kfi2-qz", None, id="ten bytes"),
        pytest.param("\u00e9" * 5, None, id="ten bytes in five characters"),
        pytest.param("e\u0301" * 4, PasswordFault.TOO_SHORT, id="eight bytes after NFC"),
        pytest.param("ab" * 512, None, id="1024 bytes"),
        pytest.param("ab" * 512 + "c", PasswordFault.TOO_LONG, id="1025 bytes"),
        pytest.param("password123", PasswordFault.TOO_COMMON, id="common"),
        pytest.param("PassWord123", PasswordFault.TOO_COMMON, id="common in other letters"),
        pytest.param("abcdefghi\x00jk", PasswordFault.NOT_TEXT, id="NUL"),
        pytest.param("\x00" * CHARACTERS_MAX, PasswordFault.NOT_TEXT, id="as long as is looked at"),
        pytest.param("\x00" * (CHARACTERS_MAX + 1), PasswordFault.TOO_LONG, id="not looked at"),
        pytest.param("abcdefghi\ud800jk", PasswordFault.NOT_TEXT, id="lone surrogate"),
    ],
)
def test_names_the_fault(password: str, fault: PasswordFault | None) -> None:
    assert find_password_fault(password) == fault


def test_knows_hundreds_of_common_passwords_of_a_length_that_matters() -> None:
    assert len(common_passwords()) > 300
    assert all(len(password.encode()) >= 10 for password in common_passwords())


@given(st.text(max_size=40))
def test_two_spellings_of_one_text_are_judged_alike(password: str) -> None:
    decomposed = unicodedata.normalize("NFD", password)

    assert find_password_fault(decomposed) == find_password_fault(password)


def test_measures_a_text_before_normalising_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sorting combining marks takes quadratic time: one long password could stop a process."""
    normalised: list[int] = []
    original = unicodedata.normalize

    def normalize(form: Literal["NFC"], text: str) -> str:
        normalised.append(len(text))
        return original(form, text)

    monkeypatch.setattr(unicodedata, "normalize", normalize)
    marks = "a" + "\u0315" * 40_000 + "\u0300" * 40_000

    assert find_password_fault(marks) is PasswordFault.TOO_LONG
    assert max(normalised, default=0) <= CHARACTERS_MAX
