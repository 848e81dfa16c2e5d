import asyncio
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.headerregistry import Address
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs.integrations.exceptions import MailError
from ecs.integrations.mail.composing import compose
from ecs.integrations.mail.smtp_mailer import SmtpMailer, SmtpServer
from scripts.clean_dev import remove_mail
from scripts.stack import answers
from scripts.stack.mail_sink import BYTES_MAX, MailFolder
from scripts.stack.place import CHECKOUT
from scripts.stack.ports import is_free
from tests.letters import SENDER, a_letter

ADDRESS: Final = Address(addr_spec="no-reply@ecs.example")
BAD_IDS: Final = {
    "none": b"",
    "a way out": b"Message-ID: <../../etc/passwd@x>\r\n",
    "a way down": b"Message-ID: <a/b@x>\r\n",
    "hidden": b"Message-ID: <.profile@x>\r\n",
    "a zero byte": b"Message-ID: <a\x00b@x>\r\n",
    "endless": b"Message-ID: <" + b"a" * 400 + b"@x>\r\n",
    "two words": b"Message-ID: <a b@x>\r\n",
    "not ASCII": "Message-ID: <é@x>\r\n".encode(),
}


def body(text: str = "Hello") -> bytes:
    return f"\r\n{text}\r\n".encode()


@contextmanager
def a_sink(folder: Path) -> Iterator[tuple[int, list[str]]]:
    """The program itself: its port, which is free, and once it has ended what it has said."""
    port = next(number for number in range(19_000, 20_000) if is_free(number))
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "scripts.stack.mail_sink"),
            *("--port", str(port), "--folder", str(folder)),
        ],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
    )
    said: list[str] = []
    try:
        answers.wait_until(lambda: answers.listens(port), seconds=20, what="The sink")
        yield port, said
    finally:
        process.terminate()
        said += process.communicate(timeout=10)[0].splitlines()
        assert process.returncode == 0


class TestMailFolder:
    def test_keeps_one_private_file_for_each_message(self, tmp_path: Path) -> None:
        letter = a_letter()
        content = compose(letter, sender=ADDRESS).as_bytes()
        file = MailFolder(tmp_path).store(content)
        assert file == tmp_path / f"{letter.notification_id}.eml"
        assert file.read_bytes() == content
        assert stat.S_IMODE(file.stat().st_mode) == 0o600

    def test_replaces_a_message_that_comes_again(self, tmp_path: Path) -> None:
        folder = MailFolder(tmp_path)
        first, file = (
            folder.store(b"Message-ID: <same@ecs>\r\n" + body(text)) for text in ("first", "second")
        )
        assert first == file
        assert list(tmp_path.iterdir()) == [file]
        assert b"second" in file.read_bytes()

    @pytest.mark.parametrize("header", BAD_IDS.values(), ids=BAD_IDS)
    def test_finds_a_name_for_a_message_without_a_usable_one(
        self, tmp_path: Path, header: bytes
    ) -> None:
        folder = MailFolder(tmp_path / "mail")
        (tmp_path / "mail").mkdir()
        files = {folder.store(header + body()) for _ in range(2)}
        assert len(files) == 2
        assert {file.parent for file in files} == {tmp_path / "mail"}
        assert all(len(file.name) == 40 for file in files)

    def test_forgets_the_oldest_when_there_are_too_many(self, tmp_path: Path) -> None:
        folder = MailFolder(tmp_path, files_max=3)
        for number in range(5):
            folder.store(f"Message-ID: <m{number}@ecs>\r\n".encode() + body())
            time.sleep(0.01)  # Its age is the file's.
        assert {file.stem for file in tmp_path.iterdir()} == {"m2", "m3", "m4"}

    def test_is_emptied_of_mail_and_of_nothing_else(self, tmp_path: Path) -> None:
        MailFolder(tmp_path).store(body())
        (tmp_path / "notes.txt").touch()
        removed = [remove_mail(folder) for folder in (tmp_path, tmp_path, tmp_path / "missing")]
        assert removed == [1, 0, 0]
        assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


@given(content=st.binary(max_size=300))
def test_any_bytes_become_one_file_inside_of_the_folder(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("mail")
    file = MailFolder(folder).store(content)
    assert list(folder.iterdir()) == [file]
    assert file.read_bytes() == content


async def test_the_program_takes_letters_and_refuses_what_is_too_large(tmp_path: Path) -> None:
    letters = [a_letter() for _ in range(5)]
    with a_sink(tmp_path / "mail") as (port, said):
        mailer = SmtpMailer(SmtpServer.at(f"smtp://127.0.0.1:{port}"), sender=SENDER)
        await asyncio.gather(*(mailer.send(letter) for letter in [*letters, letters[0]]))
        with pytest.raises(MailError):
            await mailer.send(a_letter(body="x" * (2 * BYTES_MAX)))
    names = {file.stem for file in (tmp_path / "mail").iterdir()}
    ids = [str(letter.notification_id) for letter in letters]
    assert names == set(ids)
    assert sorted(said) == sorted(f"taken: {one}" for one in [*ids, ids[0]])
