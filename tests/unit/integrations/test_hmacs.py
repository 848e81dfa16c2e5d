"""Keyed hashes: one for each PAN however it is spelled, and none without the key."""

import hashlib
import hmac
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs.domain.prequalification.pan import Pan
from ecs.integrations.hmacs import HmacBlindIndex, HmacFingerprint
from tests.corpora import pan_variants

KEY: Final = "a key of its own that is used for nothing else"
INDEX: Final = HmacBlindIndex(KEY)
FINGERPRINT: Final = HmacFingerprint(KEY)
SPELLINGS: Final = {
    name: (text, canonical) for name, (text, canonical) in pan_variants().items() if canonical
}
# Lone surrogates too: a client may send them.
TEXTS: Final = st.lists(st.text(st.characters()), max_size=5)


class TestHmacBlindIndex:
    @pytest.mark.parametrize("name", SPELLINGS)
    def test_is_the_same_for_every_spelling(self, name: str) -> None:
        text, canonical = SPELLINGS[name]
        assert INDEX(Pan.parse(text)) == INDEX(Pan(canonical or ""))

    def test_differs_from_pan_to_pan_and_from_key_to_key(self) -> None:
        pans = {canonical or "" for _, canonical in SPELLINGS.values()}
        keys = (KEY, KEY + " ", KEY.upper())
        assert len({HmacBlindIndex(key)(Pan(pan)) for pan in pans for key in keys}) == 3 * len(pans)

    def test_is_the_hmac_with_this_key_and_no_hash_that_anybody_can_make(self) -> None:
        pan = b"ABCPE1234F"
        index = INDEX(Pan(pan.decode()))
        assert index == hmac.digest(KEY.encode(), pan, "sha256")
        assert index != hashlib.sha256(pan).digest()
        assert index != hmac.digest(b"", pan, "sha256")
        assert index != hashlib.sha256(KEY.encode() + pan).digest()

    def test_shows_no_key(self) -> None:
        assert KEY not in f"{INDEX} {INDEX!r} {FINGERPRINT} {FINGERPRINT!r}"


class TestHmacFingerprint:
    @given(parts=TEXTS)
    def test_is_the_same_for_the_same_texts(self, parts: list[str]) -> None:
        assert FINGERPRINT(*parts) == HmacFingerprint(KEY)(*parts)
        assert len(FINGERPRINT(*parts)) == 32

    @given(parts=TEXTS, others=TEXTS)
    def test_differs_where_any_part_differs(self, parts: list[str], others: list[str]) -> None:
        assert (FINGERPRINT(*parts) == FINGERPRINT(*others)) == (parts == others)

    @given(first=st.text(min_size=1), second=st.text(min_size=1))
    def test_never_lets_one_part_run_into_the_next(self, first: str, second: str) -> None:
        assert FINGERPRINT(first, second) != FINGERPRINT(first + second)
        assert FINGERPRINT(first, second) != FINGERPRINT(first + second[:1], second[1:])
        assert FINGERPRINT(first) != FINGERPRINT(first, "")

    def test_differs_from_key_to_key(self) -> None:
        assert FINGERPRINT("a") != HmacFingerprint(KEY + " ")("a")
