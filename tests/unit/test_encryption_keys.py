"""The native stack's keys for PANs: everybody knows a key before anybody encrypts with it."""

import json
from base64 import b64decode
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ecs.setting_types import read_keyring
from scripts.stack import encryption_keys, preparation, restarting
from scripts.stack.console import silence
from scripts.stack.errors import StackError
from scripts.stack.place import Place
from scripts.stack.ports import NAMES
from scripts.stack.programs import Layout
from scripts.stack.settings import application_environment

# A program that was restarted: its name, the keys it then knew, and the active one.
Told = list[tuple[str, list[str], str]]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    ports = dict.fromkeys((*NAMES, "tools-first", "tools-last"), 1)
    return Layout(place=Place(home=tmp_path, throwaway=True), ports=ports)


@pytest.fixture
def told(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> Told:
    """Programs that only note that they were restarted; the real ones run in tests/e2e."""
    restarted: Told = []

    def restart(layout: Layout, name: str, *, say: object) -> None:
        ring = layout.place.keyring()
        restarted.append((name, sorted(ring.keys), ring.active))

    monkeypatch.setattr(restarting, "restart", restart)
    return restarted


def introduce(layout: Layout) -> str:
    return encryption_keys.introduce(layout, public=layout.place.home, say=silence)


class TestKeyring:
    def test_is_made_once_and_private(self, layout: Layout) -> None:
        ring = layout.place.keyring()
        assert layout.place.keyring() == ring
        assert {len(b64decode(key)) for key in ring.keys.values()} == {32}
        assert (layout.place.home / "keyring.json").stat().st_mode & 0o077 == 0
        assert ring.keys["1"] not in repr(ring)

    def test_counts_its_keys(self, layout: Layout) -> None:
        ring = layout.place.keyring()
        for _ in range(10):
            ring = ring.with_new()
        assert (ring.newest, ring.active, len(set(ring.keys.values()))) == ("11", "1", 11)
        assert ring.without("11").newest == "10"

    def test_is_what_the_settings_read(self, layout: Layout) -> None:
        layout.place.keep(replace(layout.place.keyring().with_new(), active="2"))
        environment = application_environment(layout.place, layout.ports)
        assert set(read_keyring(environment["ENCRYPTION_KEYS"])) == {"1", "2"}
        assert environment["ENCRYPTION_ACTIVE_KEY_ID"] == "2"


class TestIntroduce:
    def test_tells_everybody_before_anybody_encrypts(self, layout: Layout, told: Told) -> None:
        assert introduce(layout) == "2"
        both = ["1", "2"]
        assert told == [("credit-report", both, "1"), ("api", both, "1"), ("api", both, "2")]
        written = (layout.place.home / "env").read_text()
        assert "ENCRYPTION_ACTIVE_KEY_ID=2\n" in written
        assert json.dumps(layout.place.keyring().keys) in written

    def test_goes_on_with_the_key_of_one_that_was_interrupted(
        self, layout: Layout, told: Told, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as broken:
            broken.setattr(restarting, "restart", _fail)
            with pytest.raises(StackError):
                introduce(layout)
        ring = layout.place.keyring()
        assert (ring.newest, ring.active) == ("2", "1")
        assert introduce(layout) == "2"
        assert set(layout.place.keyring().keys) == {"1", "2"}
        assert introduce(layout) == "3"

    def test_goes_on_with_the_key_that_not_everybody_encrypts_with(
        self, layout: Layout, told: Told, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _interrupt_the_second_round(layout, monkeypatch)
        told.clear()
        assert introduce(layout) == "2"
        assert told == [("api", ["1", "2"], "2")]
        assert introduce(layout) == "3"

    def test_makes_a_key_after_one_was_dropped_before_it_encrypted(
        self, layout: Layout, told: Told, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        layout.place.keep(layout.place.keyring().with_new())
        monkeypatch.setattr(preparation, "run_python", lambda *_: None)
        encryption_keys.drop(layout, "2", public=layout.place.home, say=silence)
        assert introduce(layout) == "2"
        assert layout.place.keyring().active == "2"

    def test_reads_the_file_of_a_stack_that_did_not_remember(self, layout: Layout) -> None:
        ring = layout.place.keyring()
        written = {"keys": ring.keys, "active": ring.active}
        layout.place.write("keyring.json", json.dumps(written))
        assert layout.place.keyring() == ring


class TestDrop:
    @pytest.mark.parametrize(
        ("key_id", "complaint"),
        [("7", "There is no key 7; the stack has: 1, 2."), ("2", "Key 2 is the active one")],
    )
    def test_refuses_a_key_that_is_not_there_or_encrypts(
        self, layout: Layout, told: Told, key_id: str, complaint: str
    ) -> None:
        introduce(layout)
        with pytest.raises(StackError, match=complaint):
            encryption_keys.drop(layout, key_id, public=layout.place.home, say=silence)
        assert set(layout.place.keyring().keys) == {"1", "2"}

    def test_keeps_a_key_that_something_is_left_on(
        self, layout: Layout, told: Told, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        introduce(layout)
        monkeypatch.setattr(preparation, "run_python", _fail)
        with pytest.raises(StackError, match="in use"):
            encryption_keys.drop(layout, "1", public=layout.place.home, say=silence)
        assert set(layout.place.keyring().keys) == {"1", "2"}

    def test_has_everybody_encrypt_with_the_active_one_before_it_asks(
        self, layout: Layout, told: Told, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _interrupt_the_second_round(layout, monkeypatch)
        told.clear()

        def ask(*_: object) -> None:
            assert told == [("api", ["1", "2"], "2")]
            raise StackError("in use")

        monkeypatch.setattr(preparation, "run_python", ask)
        with pytest.raises(StackError, match="in use"):
            encryption_keys.drop(layout, "1", public=layout.place.home, say=silence)
        # Whoever was never told of key 2 is told now, and the introduction is over.
        assert introduce(layout) == "3"

    def test_keeps_a_key_when_somebody_cannot_be_told(
        self, layout: Layout, told: Told, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        introduce(layout)
        monkeypatch.setattr(restarting, "restart", _fail)
        monkeypatch.setattr(preparation, "run_python", lambda *_: None)
        with pytest.raises(StackError):
            encryption_keys.drop(layout, "1", public=layout.place.home, say=silence)
        assert set(layout.place.keyring().keys) == {"1", "2"}

    def test_forgets_one_that_nothing_is_left_on(
        self, layout: Layout, told: Told, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        introduce(layout)
        asked: list[list[str]] = []
        monkeypatch.setattr(preparation, "run_python", lambda words, _: asked.append(words))
        encryption_keys.drop(layout, "1", public=layout.place.home, say=silence)
        assert asked == [["-m", "scripts.rotate_encryption", "--unused", "1"]]
        assert set(layout.place.keyring().keys) == {"2"}
        assert told[-1] == ("api", ["2"], "2")


def _interrupt_the_second_round(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Introduce key 2, and be killed before anybody was told to encrypt with it."""
    restart = restarting.restart

    def restart_or_die(layout: Layout, name: str, **words: Any) -> None:
        if layout.place.keyring().active == "2":
            raise KeyboardInterrupt
        restart(layout, name, **words)

    with monkeypatch.context() as broken:
        broken.setattr(restarting, "restart", restart_or_die)
        with pytest.raises(KeyboardInterrupt):
            introduce(layout)
    assert layout.place.keyring().active == "2"


def _fail(*_: object, **__: object) -> None:
    raise StackError("in use")
