"""New keys for PANs and the end of old ones, while the stack goes on serving."""

from dataclasses import replace
from pathlib import Path
from typing import Final

from scripts.stack import preparation, restarting, settings
from scripts.stack.console import Say
from scripts.stack.errors import StackError
from scripts.stack.place import Keyring, write_private
from scripts.stack.programs import Layout

# Who decrypts, and who encrypts; nobody else makes use of the keys, whatever his settings say.
READERS: Final = ("credit-report", "api")
WRITERS: Final = ("api",)


def introduce(layout: Layout, *, public: Path, say: Say) -> str:
    """
    Make a new key, and have it encrypt: return its id.

    In two rounds, so that nobody ever meets a ciphertext whose key he does not know. Whoever is
    interrupted goes on with the same key the next time.

    Raises:
        StackError: a program did not come back; the key encrypts only if all know it.
    """
    ring = layout.place.keyring()
    if ring.newest == ring.active and ring.is_settled:
        ring = ring.with_new()
        layout.place.keep(ring)
    if ring.newest != ring.active:
        say(f"key {ring.newest} is made; everybody is to know it before anybody encrypts with it")
        _tell(layout, READERS, public=public, say=say)
        layout.place.keep(replace(ring, active=ring.newest, is_settled=False))
    say(f"key {ring.newest} is the active one")
    _settle(layout, public=public, say=say)
    return ring.newest


def drop(layout: Layout, key_id: str, *, public: Path, say: Say) -> None:
    """
    Forget a key.

    Everybody encrypts with the active one before it is asked what is left on the other: whoever was
    never told of a change would go on writing what nobody could read any more.

    Raises:
        StackError: there is no such key, it is in use, or a program did not come back.
    """
    ring = layout.place.keyring()
    if key_id not in ring.keys:
        raise StackError(f"There is no key {key_id}; the stack has: {', '.join(ring.keys)}.")
    if key_id == ring.active:
        raise StackError(f"Key {key_id} is the active one: make new-encryption-key first.")
    ring = _settle(layout, public=public, say=say)
    environment = settings.application_environment(layout.place, layout.ports)
    preparation.run_python(["-m", "scripts.rotate_encryption", "--unused", key_id], environment)
    layout.place.keep(ring.without(key_id))
    _tell(layout, READERS, public=public, say=say)


def _settle(layout: Layout, *, public: Path, say: Say) -> Keyring:
    """Have everybody encrypt with the active key, and remember that they do."""
    _tell(layout, WRITERS, public=public, say=say)
    ring = replace(layout.place.keyring(), is_settled=True)
    layout.place.keep(ring)
    return ring


def _tell(layout: Layout, names: tuple[str, ...], *, public: Path, say: Say) -> None:
    """Restart programs, one after the other; those that restart by themselves know it already."""
    environment = settings.application_environment(layout.place, layout.ports)
    write_private(public / "env", settings.as_file(environment))
    for name in names:
        restarting.restart(layout, name, say=say)
