"""The commands of every document but the README are typed, as they stand, in a checkout's copy."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from scripts.stack.place import CHECKOUT, Place
from tests.commands import run
from tests.documents import Block, blocks, runnable

SECONDS_MAX: Final = 240
# What make would do first is done already: this very environment runs the tests.
PREAMBLE: Final = """
set -euo pipefail
make() { command make STAMP= "$@"; }
trap 'echo "at: $DOCUMENT" >&2' ERR
"""
MARK: Final = "=== "


@pytest.fixture
async def checkout(tmp_path: Path) -> AsyncIterator[Path]:
    """A copy of the checkout with a stack of its own, started and stopped as an operator does."""
    copy = tmp_path / "ecs"
    await asyncio.to_thread(_copy_checkout, copy)
    try:
        await _typed("make up", folder=copy)
        yield copy
    finally:
        await _typed("make down", folder=copy)
        shutil.rmtree(Place.of_checkout(copy).home)


@pytest.mark.timeout(SECONDS_MAX * 2)
async def test_every_command_works_as_it_stands(checkout: Path) -> None:
    commands = [block for block in runnable("bash") if block.document != "README.md"]
    said = await _typed("\n".join(map(_announced, commands)), folder=checkout)
    printed = dict(zip(_names(said), said.split(MARK)[1:], strict=True))
    assert list(printed) == [block.name for block in commands]

    everything = "\n".join(printed.values())
    assert '"status":"ready"' in everything
    assert '"event": "http.request"' in everything
    before, restored = _counts(everything)
    assert before == restored
    assert before[0] > 0


async def test_the_nginx_of_the_documents_is_accepted(tmp_path: Path) -> None:
    written = [
        block.text
        for block in blocks(CHECKOUT / "docs" / "operations.md")
        if block.language == "nginx"
    ]
    assert written
    for name in ("http.conf", "server.conf"):
        shutil.copy(CHECKOUT / "nginx" / name, tmp_path)
    await _typed(_CERTIFICATE, folder=tmp_path)
    servers = "\n".join(written).replace("/etc/nginx/tls/", f"{tmp_path}/")
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid; events {{}} http {{ include http.conf;"
        f" upstream api {{ server 127.0.0.1:1; }} {servers} }}"
    )
    await _typed(f"nginx -t -q -e stderr -p {tmp_path} -c nginx.conf", folder=tmp_path)


_CERTIFICATE: Final = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1"
    " -subj /CN=ecs.test -keyout privkey.pem -out fullchain.pem 2>/dev/null"
)


def _copy_checkout(copy: Path) -> None:
    """Copy what belongs to the repository, committed or not yet."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (CHECKOUT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, copy / name)
    (copy / ".venv").symlink_to(CHECKOUT / ".venv")


def _announced(block: Block) -> str:
    return f"DOCUMENT={block.name}; echo; echo '{MARK}{block.name}'\n{block.text}"


def _names(said: str) -> list[str]:
    return [line.removeprefix(MARK) for line in said.splitlines() if line.startswith(MARK)]


def _counts(said: str) -> tuple[list[int], list[int]]:
    """How many people and decisions the database held, and the one restored from the backup."""
    rows = [line.split("|") for line in said.splitlines() if line.startswith("ecs")]
    found = {row[0]: [int(row[1]), int(row[2])] for row in rows if len(row) == 4}
    return found["ecs"], found["ecs_restored"]


async def _typed(script: str, *, folder: Path) -> str:
    words = {name: value for name, value in os.environ.items() if name.isupper()}
    words |= {"PATH": f"/usr/sbin:{os.environ['PATH']}", "DOCUMENT": ""}
    typed = PREAMBLE + script
    return (
        await run("bash", "-c", typed, seconds=SECONDS_MAX, folder=folder, environment=words)
    ).printed
