from hypothesis import given
from hypothesis import strategies as st

from ecs.integrations.client_secrets import ClientSecrets

SECRETS = ClientSecrets(key="a test key that is long enough to be one")


def test_a_new_secret_is_long_and_new() -> None:
    made = {SECRETS.make() for _ in range(100)}

    assert len(made) == 100
    assert all(len(secret) == 43 for secret in made)


def test_the_fingerprint_depends_on_the_key() -> None:
    other = ClientSecrets(key="another test key, long enough to be one")

    assert not other.matches("secret", SECRETS.fingerprint("secret"))


def test_the_key_is_not_printed() -> None:
    assert "test key" not in repr(SECRETS)


@given(secret=st.text(), other=st.text())
def test_only_the_same_secret_matches(secret: str, other: str) -> None:
    assert SECRETS.matches(other, SECRETS.fingerprint(secret)) == (secret == other)


def test_a_lone_surrogate_is_a_wrong_secret() -> None:
    assert not SECRETS.matches("\ud800", SECRETS.fingerprint("secret"))
