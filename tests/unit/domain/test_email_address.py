import pytest

from ecs.domain.email_address import CHARACTERS_MAX, canonical_email


@pytest.mark.parametrize(
    ("address", "canonical"),
    [
        ("ana@example.com", "ana@example.com"),
        (" Ana.Souza@Example.COM\n", "ana.souza@example.com"),
        ("ana+credit@example.com", "ana+credit@example.com"),
        ("ana@people.test", "ana@people.test"),
        ("JOS\u0045\u0301@example.com", "jos\u00e9@example.com"),
        ("ana@xn--mnchen-3ya.de", "ana@m\u00fcnchen.de"),
    ],
)
def test_an_address_has_one_spelling(address: str, canonical: str) -> None:
    assert canonical_email(address) == canonical


@pytest.mark.parametrize(
    "address",
    ["", " ", "ana", "@example.com", "ana@", "ana@example", "a b@example.com", "ana@@example.com"],
)
def test_what_is_no_address_has_none(address: str) -> None:
    assert canonical_email(address) is None


@pytest.mark.parametrize(("excess", "known"), [(0, True), (1, False)])
def test_a_text_is_measured_before_it_is_read(*, excess: int, known: bool) -> None:
    address = "ana@example.com".rjust(CHARACTERS_MAX + excess)
    assert (canonical_email(address) is not None) is known
