"""Does it answer? One question per service, asked the way its clients would."""

import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from scripts.stack.errors import StackError

TIMEOUT_SECONDS: Final = 1.0
POLL_SECONDS: Final = 0.05
Question = Callable[[], bool]


def postgres(port: int, *, pg_isready: str) -> bool:
    """Return whether PostgreSQL accepts connections, not only listens."""
    command = [pg_isready, "--quiet", "--host=127.0.0.1", f"--port={port}", "--timeout=1"]
    return subprocess.run(command, check=False, env={}).returncode == 0  # noqa: S603  (our own words)


def redis(port: int) -> bool:
    """Return whether Redis talks: a refusal without a password is an answer, loading is not."""
    reply = _exchange(port, b"PING\r\n")
    return reply.startswith((b"+PONG", b"-NOAUTH"))


def rabbitmq(port: int) -> bool:
    """Return whether the broker greets; its port opens before it can."""
    return _exchange(port, b"AMQP\x00\x00\x09\x01")[:1] == b"\x01"


def listens(port: int) -> bool:
    """Return whether something accepts connections on ``port``."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS) as connection:
            mine, theirs = connection.getsockname(), connection.getpeername()
    except OSError:
        return False
    return bool(mine != theirs)  # Otherwise TCP connected to itself.


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What ``GET /ready`` says: its ``status`` and all of its words, or what came instead."""

    status: str
    words: str


def readiness(url: str) -> str:
    """Return the ``status`` that ``GET /ready`` gives, or what came instead."""
    return ready(url).status


def ready(url: str) -> Ready:
    """Ask ``GET /ready``."""
    try:
        with DIRECT.open(f"{url}/ready", timeout=TIMEOUT_SECONDS * 3) as answer:
            document = json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            words = error.read().decode(errors="replace").strip()
            return Ready(status=f"HTTP {error.code}", words=f"HTTP {error.code} {words}")
    except (OSError, ValueError) as error:
        return Ready(status=type(error).__name__, words=f"{type(error).__name__}: {error}")
    status = document.get("status") if isinstance(document, dict) else None
    return Ready(status=str(status), words=json.dumps(document))


# Our own address is never behind the caller's proxy.
DIRECT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def wait_until(question: Question, *, seconds: float, what: str) -> None:
    """
    Ask until the answer is yes.

    Raises:
        StackError: it was not within ``seconds``; the message names ``what``.
    """
    deadline = time.monotonic() + seconds
    while not question():
        if time.monotonic() > deadline:
            raise StackError(f"{what} did not happen within {seconds:.0f} s.")
        time.sleep(POLL_SECONDS)


def _exchange(port: int, request: bytes) -> bytes:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS) as connection:
            connection.sendall(request)
            return connection.recv(64)
    except OSError:
        return b""
