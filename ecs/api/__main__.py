"""Serve the API: ``python -m ecs.api --host 127.0.0.1 --port 8000``."""

import argparse
import asyncio
import signal
import socket
import sys
from typing import Any, Final

import uvicorn

APPLICATION: Final = "ecs.api.asgi:create"
LEAVE_SECONDS: Final = 1.0
POLL_SECONDS: Final = 0.02
CLOSE: Final = (b"connection", b"close")
OPTIONS: Final[dict[str, Any]] = {
    "factory": True,
    "loop": "uvloop",
    "http": "httptools",
    "timeout_keep_alive": 75,
    "timeout_graceful_shutdown": 25,
    "limit_concurrency": 1000,
    "backlog": 512,
    "server_header": False,
    "access_log": False,
}


class LeavingServer(uvicorn.Server):
    """
    A server that takes its leave before it hangs up.

    uvicorn closes connections that are idle at once. A proxy may just then be sending a request
    over one, and may not send a POST again: 502. So for a moment nobody new is let in, and each
    answer asks for the connection's end; what is idle by then has not been used for that long.
    """

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, let what is connected finish and go, then shut down."""
        for server in self.servers:
            server.close()
        state, loop = self.server_state, asyncio.get_running_loop()
        state.default_headers = [*state.default_headers, CLOSE]
        deadline = loop.time() + LEAVE_SECONDS
        while state.connections and not self.force_exit and loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS)  # uvicorn says of no connection when it ends.
        await super().shutdown(sockets)


def main() -> None:
    """Serve until told to stop; what is in hand is finished first, and the process ends with 0."""
    # Once it has finished, uvicorn raises the signal again; without this it would seem killed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    arguments = _arguments()
    reload = arguments.pop("reload")
    if reload:
        uvicorn.run(APPLICATION, **OPTIONS, **arguments, reload=True, reload_dirs=["ecs"])
        return
    config = uvicorn.Config(APPLICATION, **OPTIONS, **arguments)
    config.load_app()  # Unusable settings end the process here.
    server = LeavingServer(config)
    try:
        server.run()
    except KeyboardInterrupt:
        return
    sys.exit(not server.started)


def _arguments() -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="python -m ecs.api", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument(
        "--forwarded-allow-ips",
        default="127.0.0.1",
        help="who is believed about a client's address",
    )
    parser.add_argument("--reload", action="store_true", help="start anew when the code changes")
    return vars(parser.parse_args())


if __name__ == "__main__":
    main()
