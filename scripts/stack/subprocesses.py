"""Commands that run to their end, with their output kept for when they fail."""

import subprocess
from pathlib import Path

from scripts.stack import system
from scripts.stack.errors import StackError


def run_quietly(command: list[str], *, folder: Path, environment: dict[str, str]) -> str:
    """
    Return what ``command`` prints on its standard output.

    Raises:
        StackError: it failed; the message ends with what it said.
    """
    done = subprocess.run(  # noqa: S603  (our own words)
        command,
        check=False,
        cwd=folder,
        env={"PATH": system.SEARCH_PATH, **environment},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-3000:]
        raise StackError(f"`{' '.join(command)}` failed ({done.returncode}):\n{said}")
    return done.stdout
