"""A copy of the Makefile beside programs that only note their words."""

import re
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scripts.stack.place import CHECKOUT

READ_BY_CONTAINERS: Final = ("deploy", "nginx", "ecs", "workers", "scripts")
PROGRAMS: Final = ("python", "ruff", "lint-imports", "mutmut", "pre-commit")
# Writes its words down, and the database that it was given.
SCRIBE: Final = '#!/bin/sh\necho "$@ [$DB_OWNER_URL|$JWT_SECRET]" >> "$SCRIBE"\n'
ENGINE: Final = """#!/bin/sh
echo "$@" >> "$SCRIBE"
case "$*" in
    info) exit {info};;
    *" ps "*) printf '{running}';;
    *" port "*) echo 127.0.0.1:8000;;
esac
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a target did: its exit code, its words, and the words of the programs it called."""

    code: int
    said: str
    complained: list[str]
    called: list[str]


class Folder:
    """A checkout with nothing but the Makefile, where make can do no harm."""

    def __init__(self, path: Path) -> None:
        self.path = path
        shutil.copy(CHECKOUT / "Makefile", path)
        shutil.copy(CHECKOUT / "requirements-dev.lock", path)
        for program in PROGRAMS:
            self.program(f".venv/bin/{program}", SCRIBE)
        for folder in ("bin", *READ_BY_CONTAINERS):
            (path / folder).mkdir()
        found = self.make("--print-data-base", "help").said
        stamp = re.search(r"^STAMP := (.*)$", found, re.MULTILINE)
        assert stamp is not None
        (path / stamp.group(1)).touch()

    def program(self, name: str, text: str) -> None:
        """Put an executable somewhere."""
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(file.stat().st_mode | stat.S_IXUSR)

    def engine(self, *, answers: bool, running: bool = False) -> None:
        """Put a Docker on the path, with an engine or without."""
        text = ENGINE.format(info=0 if answers else 1, running="api" if running else "")
        self.program("bin/docker", text)

    def stack(self, *, port: int) -> None:
        """Pretend that the native stack was started, and serves at a port."""
        (self.path / ".stack").mkdir()
        (self.path / ".stack/url").write_text(f"http://127.0.0.1:{port}\n")
        (self.path / ".stack/env").write_text("DB_OWNER_URL=of-the-stack\nJWT_SECRET=native\n")

    def make(self, *words: str, **environment: str) -> Made:
        """Make something."""
        scribe = self.path / "scribe"
        scribe.unlink(missing_ok=True)
        made = subprocess.run(
            ["make", *words],
            cwd=self.path,
            env={"PATH": f"{self.path}/bin:/usr/bin:/bin", "SCRIBE": str(scribe), **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        called = scribe.read_text().splitlines() if scribe.exists() else []
        complaints = [line for line in made.stderr.splitlines() if not line.startswith("make: ***")]
        return Made(code=made.returncode, said=made.stdout, complained=complaints, called=called)
