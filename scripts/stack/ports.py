"""Loopback ports: one block of thirty-two per stack, below the ones the kernel gives away."""

import fcntl
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from scripts.stack.errors import StackError

# Workers have a port each to show their measures on.
WORKERS: Final = (
    *("outbox-relay", "emotions-consumer", "credit-report", "decision", "audit-sealer", "backlog"),
    *("rq-accounts-1", "rq-accounts-2", "rq-mail", "rq-periodic", "cron"),
)
NAMES: Final = (
    *("http", "api-1", "api-2", "postgres", "redis", "amqp", "rabbitmq", "epmd", "smtp"),
    *("prometheus", "postgres-exporter", "otlp"),
    *WORKERS,
)
# The last four belong to RabbitMQ's command line tools.
TOOL_OFFSET: Final = 28
BLOCK_SIZE: Final = 32
LOWEST: Final = 20_000
RECORD: Final = "ports.json"


def claim_block(home: Path, *, seed: int) -> dict[str, int]:
    """Return the ports of the stack in ``home``: the recorded ones, or the next free block."""
    with _alone(home.parent):
        base = _choose(home, seed=seed)
        (home / RECORD).write_text(json.dumps({"base": base}))
    return _named(base)


def recorded_block(home: Path) -> dict[str, int]:
    """Return the ports that the running stack in ``home`` has chosen."""
    base = _recorded(home)
    if base is None:
        raise StackError(f"{home / RECORD} is missing; start the stack first.")
    return _named(base)


def is_free(port: int) -> bool:
    """Return whether ``port`` is free; binding, unlike connecting, cannot meet itself."""
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind(("127.0.0.1", port))
            candidate.listen(1)
        except OSError:
            return False
    return True


def _named(base: int) -> dict[str, int]:
    ports = {name: base + offset for offset, name in enumerate(NAMES)}
    return ports | {"tools-first": base + TOOL_OFFSET, "tools-last": base + BLOCK_SIZE - 1}


def _choose(home: Path, *, seed: int) -> int:
    recorded = _recorded(home)
    if recorded is not None and _block_is_free(recorded):
        return recorded
    taken = {_recorded(other.parent) for other in home.parent.glob(f"*/{RECORD}")}
    for base in _candidates(seed):
        if base not in taken and _block_is_free(base):
            return base
    raise StackError("No thirty-two free loopback ports in a row were found.")


def _candidates(seed: int) -> Iterator[int]:
    highest = min(_first_ephemeral(), 61_000)
    blocks = (highest - LOWEST) // BLOCK_SIZE
    for step in range(blocks):
        yield LOWEST + (seed + step) % blocks * BLOCK_SIZE


def _first_ephemeral() -> int:
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    # A machine that gives away low ports too leaves no better place than the usual one.
    return first if first > LOWEST + BLOCK_SIZE else 32_768


def _block_is_free(base: int) -> bool:
    return all(is_free(port) for port in range(base, base + BLOCK_SIZE))


def _recorded(home: Path) -> int | None:
    try:
        return int(json.loads((home / RECORD).read_text())["base"])
    except (OSError, ValueError, KeyError):
        return None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process at a time choose, so that two that start together differ."""
    with (folder / "ports.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
