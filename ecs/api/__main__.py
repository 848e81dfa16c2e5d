"""
Serve the API: ``python -m ecs.api --host 127.0.0.1 --port 8000``.

Takes uvicorn's own options; those that every deployment shares stand here.
"""

import signal
import sys
from typing import Final

import uvicorn

OPTIONS: Final = (
    "--loop uvloop --http httptools --timeout-keep-alive 75 --timeout-graceful-shutdown 25"
    " --limit-concurrency 1000 --backlog 512 --no-server-header --no-access-log"
)


def main() -> None:
    """Serve until told to stop; what is in hand is finished first, and the process ends with 0."""
    # Once it has finished, uvicorn raises the signal again; without this it would seem killed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    uvicorn.main(["ecs.api.asgi:create", "--factory", *OPTIONS.split(), *sys.argv[1:]])


if __name__ == "__main__":
    main()
