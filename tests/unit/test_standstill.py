"""A consumer whose event loop stands still is ended from outside of the loop."""

import subprocess
import sys

from scripts.stack.place import CHECKOUT

STUCK = """
import asyncio, time
from workers import streams

class Stuck:
    async def run(self, stopping):
        time.sleep(60)

streams.STANDSTILL_SECONDS_MAX = 0.2
asyncio.run(streams.consume(Stuck(), asyncio.Event()))
"""


def test_a_loop_that_stands_still_ends_its_process_with_its_stack() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", STUCK],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert ended.returncode == 1
    assert "Timeout" in ended.stderr
    assert "in run" in ended.stderr
