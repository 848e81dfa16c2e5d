"""How the id of a key is written, wherever one is read."""

import pytest

from ecs.domain.key_id import KEY_ID_CHARACTERS_MAX, is_key_id


class TestIsKeyId:
    @pytest.mark.parametrize("text", ["1", "2026-11", "A.b_C-9", "k" * KEY_ID_CHARACTERS_MAX])
    def test_takes_letters_digits_dots_dashes_and_underscores(self, text: str) -> None:
        assert is_key_id(text)

    @pytest.mark.parametrize(
        "text", ["", "a b", "1\n", "\x1b[2J", "é", "\u0661", "k" * (KEY_ID_CHARACTERS_MAX + 1)]
    )
    def test_takes_nothing_else(self, text: str) -> None:
        assert not is_key_id(text)
