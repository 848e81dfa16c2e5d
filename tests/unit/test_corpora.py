"""The corpora themselves: enough cases, no name twice, and forms that agree with their rule."""

import json
import re
import unicodedata
from pathlib import Path

import pytest

from tests import corpora
from tests.corpora import Issuer, bad_tokens, hostile_json, odd_ids, odd_json, pan_variants

FILES = sorted(Path(corpora.__file__).parent.glob("*.json"))
# The fourth letter is the kind of holder.
PAN = re.compile(r"[A-Z]{3}[ABCFGHJLPT][A-Z][0-9]{4}[A-Z]")
ISSUER = Issuer(secret="s" * 32, kid="1", issuer="ecs", audience="ecs-api", subject="x", now=0)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_case_has_a_name_of_its_own(file: Path) -> None:
    names = [case["name"] for case in json.loads(file.read_text(encoding="utf-8"))]

    assert all(names)
    assert len(set(names)) == len(names)


def test_there_are_enough_cases() -> None:
    assert len(bad_tokens(ISSUER)) >= 60
    assert len(hostile_json()) >= 40
    assert len(odd_json()) >= 20
    assert len(odd_ids()) >= 40
    assert len(pan_variants()) >= 30


def test_ids_can_stand_in_an_address() -> None:
    assert all(re.fullmatch(r"[!-~]+", segment) for segment in odd_ids().values())
    assert not any(set("/?#") & set(segment) for segment in odd_ids().values())


@pytest.mark.parametrize("name", pan_variants())
def test_a_tax_number_has_one_spelling_or_none(name: str) -> None:
    text, canonical = pan_variants()[name]
    plain = unicodedata.normalize("NFKC", text).strip()
    # Upper case makes an I of a dotless one: only ASCII is safe to turn.
    spelled = plain.upper() if plain.isascii() else ""

    assert canonical == (spelled if PAN.fullmatch(spelled) else None)
