"""
Say by the exit code whether a container does its work. Cheap: it imports nothing of ours.

    python -m scripts.healthy --answers 8000            an HTTP server says 200 to GET /health
    python -m scripts.healthy --connected-to 5432 6379  connections to these ports stand

A worker that has lost what it works on ends or connects again; one that does neither is ill.
"""

import argparse
import http.client
import sys
from pathlib import Path
from typing import Final

TIMEOUT_SECONDS: Final = 2.0
ESTABLISHED: Final = "01"
# Of this container's network alone: other containers do not show here.
CONNECTIONS: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


def main() -> None:
    """Exit with 0 when all is well, else say what is not and exit with 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--answers", type=int, metavar="PORT")
    what.add_argument("--connected-to", type=int, nargs="+", metavar="PORT")
    arguments = parser.parse_args()
    if arguments.answers and not answers(arguments.answers):
        sys.exit(f"nobody says 200 to GET /health at port {arguments.answers}")
    missing = set(arguments.connected_to or ()) - connected_ports()
    if missing:
        sys.exit(f"no connection to {', '.join(map(str, sorted(missing)))}")


def answers(port: int) -> bool:
    """Return whether ``GET /health`` on this machine's ``port`` says 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def connected_ports() -> set[int]:
    """Return the remote ports of all connections that stand."""
    return {port for table in CONNECTIONS if table.exists() for port in remote_ports(table)}


def remote_ports(table: Path) -> set[int]:
    """Return the remote ports of the established connections in one of the kernel's tables."""
    rows = [line.split() for line in table.read_text().splitlines()[1:]]
    return {int(row[2].rpartition(":")[2], 16) for row in rows if row[3] == ESTABLISHED}


if __name__ == "__main__":
    main()
