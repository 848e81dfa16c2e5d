"""What the person at the terminal reads."""

import sys
import time
from collections.abc import Callable

Say = Callable[[str], None]


def progress() -> Say:
    """Return a function that prints one step per line with the seconds since the start."""
    started = time.monotonic()

    def say(step: str) -> None:
        show(f"  {time.monotonic() - started:5.1f} s  {step}")

    return say


def show(text: str) -> None:
    """Print at once, also into a pipe."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def silence(step: str) -> None:
    """Say nothing."""
