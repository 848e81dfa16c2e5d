"""Commands, run to their end as a user would."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.stack.place import CHECKOUT


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """How a command ended, and what it printed."""

    code: int | None
    out: str
    err: str

    @property
    def printed(self) -> str:
        """What a command printed that went well."""
        assert self.code == 0, f"{self.err}\n{self.out}"
        return self.out


async def run(
    *words: str,
    seconds: float = 60,
    folder: Path = CHECKOUT,
    environment: Mapping[str, str] | None = None,
) -> Said:
    """Run a command until it ends; it is killed when that takes longer than ``seconds``."""
    process = await asyncio.create_subprocess_exec(
        *words,
        cwd=folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), seconds)
    finally:
        if process.returncode is None:
            process.kill()
    return Said(code=process.returncode, out=out.decode(), err=err.decode())
