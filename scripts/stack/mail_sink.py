"""A mail server that delivers nothing: each message becomes one file for a developer to read."""

import argparse
import asyncio
import re
import signal
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Final
from uuid import uuid4

from aiosmtpd.smtp import SMTP, Envelope, Session

BYTES_MAX: Final = 1024 * 1024
FILES_MAX: Final = 1000
# A name that cannot leave the folder, nor hide in it, nor look like a draft.
MESSAGE_ID: Final = re.compile(r"<?([A-Za-z0-9][A-Za-z0-9-]{0,63})(?:@[^\s<>]{1,255})?>?")
SUFFIX: Final = ".eml"


class MailFolder:
    """Keeps the newest messages, one file for each message id."""

    def __init__(self, folder: Path, *, files_max: int = FILES_MAX) -> None:
        self._folder = folder
        self._files_max = files_max

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:  # noqa: N802  (aiosmtpd's name)
        """Take one message."""
        file = self.store(envelope.original_content or b"")
        # The files cannot show that a message came twice.
        print(f"taken: {file.stem}", flush=True)  # noqa: T201  (a program's log)
        return "250 2.0.0 Kept, not delivered"

    def store(self, content: bytes) -> Path:
        """Write a message in one step, in place of an earlier one with its id."""
        draft = self._folder / f".{uuid4()}"
        draft.touch(mode=0o600)
        draft.write_bytes(content)
        file = draft.replace(self._folder / f"{_name(content)}{SUFFIX}")
        self._forget_the_oldest()
        return file

    def _forget_the_oldest(self) -> None:
        files = list(self._folder.glob(f"*{SUFFIX}"))
        if len(files) > self._files_max:
            files.sort(key=lambda file: file.stat().st_mtime_ns)
            for file in files[: -self._files_max]:
                file.unlink(missing_ok=True)


async def serve(folder: Path, *, port: int) -> None:
    """Take messages until SIGTERM or SIGINT."""
    keeper, loop, stopping = MailFolder(folder), asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)

    def answer() -> SMTP:
        return SMTP(
            keeper,
            data_size_limit=BYTES_MAX,
            enable_SMTPUTF8=True,
            hostname="mail-sink.localhost",
            timeout=60,
            loop=loop,
        )

    server = await loop.create_server(answer, "127.0.0.1", port)
    await stopping.wait()
    server.close()


def main() -> None:
    """Read the port and the folder from the command line, and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    words = parser.parse_args()
    words.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    asyncio.run(serve(words.folder, port=words.port))


def _name(content: bytes) -> str:
    """Return the part of the message id before its domain, or a random name."""
    said = BytesHeaderParser().parsebytes(content).get("Message-ID", "")
    usable = MESSAGE_ID.fullmatch(str(said).strip())
    return usable[1] if usable else str(uuid4())


if __name__ == "__main__":
    main()
