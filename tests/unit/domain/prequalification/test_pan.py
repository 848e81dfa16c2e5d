import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs.domain.prequalification.pan import HOLDER_TYPES, Pan, canonical, without_pans
from tests.corpora import pan_variants

VARIANTS = pan_variants()
UPPER = st.sampled_from(string.ascii_uppercase)
DIGIT = st.sampled_from(string.digits)
HOLDER = st.sampled_from(HOLDER_TYPES)
PANS = st.tuples(UPPER, UPPER, UPPER, HOLDER, UPPER, DIGIT, DIGIT, DIGIT, DIGIT, UPPER).map("".join)


def widened(text: str) -> str:
    """Spell ASCII in the full width of East Asian scripts."""
    return "".join(chr(ord(character) + 0xFEE0) for character in text)


class TestPan:
    @pytest.mark.parametrize("name", VARIANTS)
    def test_knows_one_spelling_and_refuses_the_rest(self, name: str) -> None:
        text, expected = VARIANTS[name]

        if expected is None:
            with pytest.raises(ValueError, match=r"^not a PAN$"):
                Pan.parse(text)
        else:
            assert Pan.parse(text).text == expected

    @given(pan=PANS)
    def test_is_what_it_is_however_it_is_typed(self, pan: str) -> None:
        spellings = [pan, pan.lower(), widened(pan), widened(pan.lower()), f" {pan}\n"]

        assert {Pan.parse(spelling).text for spelling in spellings} == {pan}

    @given(text=st.text(max_size=20))
    def test_reading_it_twice_changes_nothing(self, text: str) -> None:
        spelled = canonical(text)

        assert spelled is None or canonical(spelled) == spelled

    @given(pan=PANS)
    def test_shows_nothing_but_its_last_four_characters(self, pan: str) -> None:
        parsed = Pan.parse(pan)
        shown = f"{parsed} {parsed!r} {parsed.masked}"

        assert parsed.masked == f"XXXXXX{pan[-4:]}"
        assert str(parsed) == parsed.masked
        assert pan not in shown
        assert set(pan[:6]) == {"X"} or pan[:6] not in shown

    @pytest.mark.parametrize("letter", string.ascii_uppercase)
    def test_names_its_kind_of_holder_by_the_fourth_letter(self, letter: str) -> None:
        text = f"ABC{letter}E1234F"

        if letter in HOLDER_TYPES:
            assert Pan.parse(text).text == text
        else:
            with pytest.raises(ValueError, match=r"^not a PAN$"):
                Pan.parse(text)

    def test_of_a_test_is_taken_whatever_its_fourth_letter(self) -> None:
        assert Pan.parse("abcde1234f", test_pans={"ABCDE1234F"}).text == "ABCDE1234F"


class TestWithoutPans:
    @given(pan=PANS, before=st.sampled_from(["", "/", "a ", "?"]), after=st.sampled_from(["", "/"]))
    def test_masks_a_pan_in_any_case_and_width(self, pan: str, before: str, after: str) -> None:
        for spelling in (pan, pan.lower(), widened(pan)):
            assert without_pans(f"{before}{spelling}{after}") == f"{before}XXXXXX{pan[-4:]}{after}"

    @given(identifier=st.uuids())
    def test_leaves_an_id_alone(self, identifier: object) -> None:
        assert without_pans(f"/applications/{identifier}/status") == (
            f"/applications/{identifier}/status"
        )

    @given(
        words=st.lists(PANS | st.sampled_from(["\ufdfa", "\ufb03", "a"]) | st.text(), max_size=9)
    )
    def test_makes_no_text_longer(self, words: list[str]) -> None:
        text = " ".join(words)

        assert len(without_pans(text)) <= len(text)

    def test_leaves_a_text_without_one_as_it_was_written(self) -> None:
        assert without_pans("/\uff41\ufb01") == "/\uff41\ufb01"
