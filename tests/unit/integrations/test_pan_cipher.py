"""The cipher of PANs: it gives back what it was given, to nobody else, and says nothing."""

import secrets
from typing import Final
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs.domain.key_id import KEY_ID_CHARACTERS_MAX
from ecs.domain.prequalification.pan import Pan
from ecs.integrations.exceptions import CipherError, DecryptionFailed, UnknownKey
from ecs.integrations.pan_cipher import NONCE_BYTES, VERSION, AesGcmPanCipher

KEYS: Final = {"1": bytes(range(32)), "2026-11": bytes(range(32, 64))}
CIPHER: Final = AesGcmPanCipher(KEYS, "1")
PAN: Final = Pan("ABCPE1234F")
ID: Final = UUID("01931f6e-0000-7000-8000-000000000001")
CIPHERTEXT: Final = CIPHER.encrypt(PAN, application_id=ID)
NONCES: Final = 100_000
LONG_ID: Final = "k" * (KEY_ID_CHARACTERS_MAX + 1)
PANS: Final = st.from_regex(r"[A-Z]{5}[0-9]{4}[A-Z]", fullmatch=True).map(Pan)
POSITIONS: Final = st.integers(0, len(CIPHERTEXT) - 1)


class TestAesGcmPanCipher:
    @given(pan=PANS, application_id=st.uuids(), key_id=st.sampled_from(sorted(KEYS)))
    def test_gives_back_what_it_was_given(
        self, pan: Pan, application_id: UUID, key_id: str
    ) -> None:
        encrypted = AesGcmPanCipher(KEYS, key_id).encrypt(pan, application_id=application_id)
        # Whichever key encrypts now: an old one still decrypts.
        assert CIPHER.decrypt(encrypted, application_id=application_id) == pan

    def test_writes_the_form_that_the_database_reads_key_ids_from(self) -> None:
        encrypted = AesGcmPanCipher(KEYS, "2026-11").encrypt(PAN, application_id=ID)
        assert encrypted.startswith(bytes((VERSION, 7)) + b"2026-11")
        assert len(encrypted) == 2 + 7 + NONCE_BYTES + len(PAN.text) + 16

    def test_never_makes_the_same_twice_nor_uses_a_nonce_twice(self) -> None:
        start = 2 + len(CIPHER.active_key_id)
        made = {CIPHER.encrypt(PAN, application_id=ID) for _ in range(NONCES)}
        assert len({one[start : start + NONCE_BYTES] for one in made}) == NONCES

    @given(pan=PANS)
    def test_leaves_nothing_of_the_pan_in_the_clear(self, pan: Pan) -> None:
        encrypted = CIPHER.encrypt(pan, application_id=ID)
        assert pan.text.encode() not in encrypted
        assert pan.text[:5].encode() not in encrypted

    @given(position=POSITIONS, change=st.integers(1, 255))
    def test_refuses_whatever_was_changed(self, position: int, change: int) -> None:
        changed = bytearray(CIPHERTEXT)
        changed[position] ^= change
        self.assert_refused(bytes(changed), ID)

    @given(length=POSITIONS)
    def test_refuses_whatever_was_cut(self, length: int) -> None:
        self.assert_refused(CIPHERTEXT[:length], ID)
        self.assert_refused(CIPHERTEXT[length + 1 :], ID)

    @given(before=st.binary(max_size=40), after=st.binary(max_size=40))
    def test_refuses_whatever_was_extended(self, before: bytes, after: bytes) -> None:
        if before or after:
            self.assert_refused(before + CIPHERTEXT + after, ID)

    @given(data=st.binary(max_size=100) | st.binary(max_size=60).map(lambda rest: b"\1\1" + rest))
    def test_refuses_whatever_it_did_not_make(self, data: bytes) -> None:
        self.assert_refused(data, ID)

    @given(stranger=st.uuids())
    def test_refuses_a_ciphertext_that_was_moved_to_another_application(
        self, stranger: UUID
    ) -> None:
        with pytest.raises(DecryptionFailed):
            CIPHER.decrypt(CIPHERTEXT, application_id=stranger)

    def test_refuses_a_ciphertext_under_the_name_of_another_key(self) -> None:
        cipher = AesGcmPanCipher({"1": KEYS["1"], "2": KEYS["2026-11"]}, "1")
        with pytest.raises(DecryptionFailed):
            cipher.decrypt(CIPHERTEXT[:2] + b"2" + CIPHERTEXT[3:], application_id=ID)

    def test_tells_a_key_it_has_not_from_a_wrong_ciphertext(self) -> None:
        cipher = AesGcmPanCipher({"2": KEYS["1"]}, "2")
        with pytest.raises(UnknownKey):
            cipher.decrypt(CIPHERTEXT, application_id=ID)

    def test_refuses_another_version_even_with_a_right_tag(self) -> None:
        with pytest.raises(DecryptionFailed):
            CIPHER.decrypt(b"\2" + CIPHERTEXT[1:], application_id=ID)

    @pytest.mark.parametrize(
        ("keyring", "active"),
        [
            ({}, "1"),
            (KEYS, "3"),
            ({"1": KEYS["1"][:31]}, "1"),
            (KEYS | {"3": b""}, "1"),
            ({"": KEYS["1"]}, ""),
            ({"é": KEYS["1"]}, "é"),
            ({LONG_ID: KEYS["1"]}, LONG_ID),
            ({"a\nb": KEYS["1"]}, "a\nb"),
        ],
        ids=[
            "empty",
            "active missing",
            "short key",
            "empty key",
            "no id",
            "no ASCII",
            "long id",
            "two lines",
        ],
    )
    def test_takes_no_ring_that_it_could_not_work_with(
        self, keyring: dict[str, bytes], active: str
    ) -> None:
        with pytest.raises(ValueError, match="key"):
            AesGcmPanCipher(keyring, active)

    def test_shows_neither_keys_nor_pans(self) -> None:
        key = secrets.token_bytes(32)
        cipher = AesGcmPanCipher({"1": key}, "1")
        shown = [repr(cipher), str(cipher), *(repr(part) for part in vars(cipher).values())]
        for wrong in (CIPHERTEXT, CIPHERTEXT[:9], b"\1\1" + key):
            with pytest.raises(CipherError) as refused:
                cipher.decrypt(wrong, application_id=uuid4())
            shown += [repr(refused.value), str(refused.value), repr(refused.value.__cause__)]
        for said in shown:
            assert key.hex() not in said
            assert repr(key)[2:-1] not in said
            assert PAN.text not in said
            assert PAN.text[:5] not in said

    def assert_refused(self, ciphertext: bytes, application_id: UUID) -> None:
        with pytest.raises((UnknownKey, DecryptionFailed)):
            CIPHER.decrypt(ciphertext, application_id=application_id)
