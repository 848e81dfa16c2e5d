"""A process that Redis leaves: it heals by itself, so nobody is called for it."""

import logging
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Final

import pytest
from redis import Redis, exceptions
from structlog.testing import capture_logs

from scripts.stack.place import CHECKOUT
from tests.builders import environment_for
from workers.runtime import redis_required

NOBODY: Final = "redis://127.0.0.1:1/0"
NOWHERE: Final = SimpleNamespace(
    app_url="postgresql://app:app@127.0.0.1:1/ecs", owner_url="postgresql://app:app@127.0.0.1:1/ecs"
)
RQ: Final = logging.getLogger("rq.worker")


class TestRedisRequired:
    @pytest.mark.parametrize(
        ("error", "level"),
        [
            (exceptions.ConnectionError(), "warning"),
            (exceptions.TimeoutError(), "warning"),
            (exceptions.AuthenticationError(), "error"),
            (exceptions.RedisError(), "error"),
        ],
        ids=lambda value: value if isinstance(value, str) else type(value).__name__,
    )
    def test_ends_the_process_with_one_line(self, error: exceptions.RedisError, level: str) -> None:
        with capture_logs() as lines, pytest.raises(SystemExit), redis_required():
            raise error
        assert lines == [
            {"event": "redis.lost", "reason": type(error).__name__, "log_level": level}
        ]

    def test_makes_what_rq_says_of_a_loss_a_warning(self, caplog: pytest.LogCaptureFixture) -> None:
        with redis_required():
            try:
                Redis.from_url(NOBODY).ping()
            except exceptions.ConnectionError as error:
                RQ.error("could not connect: %s, retrying in %d seconds", error, 2)
                RQ.error("quitting", exc_info=True)
                RQ.error("quitting")
            RQ.error("gone: %s", exceptions.TimeoutError())
        assert [record.levelname for record in caplog.records] == ["WARNING"] * 4

    def test_leaves_errors_of_jobs_what_they_are(self, caplog: pytest.LogCaptureFixture) -> None:
        with redis_required():
            RQ.error("job %s: exception raised", "a-1", exc_info=ValueError("no"))
            RQ.error("refused: %s", exceptions.AuthenticationError("no"))
        RQ.error("afterwards: %s", exceptions.ConnectionError())
        assert [record.levelname for record in caplog.records] == ["ERROR"] * 3

    def test_is_what_a_worker_without_redis_ends_by(self) -> None:
        ended = subprocess.run(
            [sys.executable, "-m", "workers.rq_worker", "accounts"],
            cwd=CHECKOUT,
            env=os.environ | environment_for(NOWHERE, NOBODY),
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 1
        assert '"event": "redis.lost", "level": "warning"' in ended.stdout
        assert '"level": "error"' not in ended.stdout
