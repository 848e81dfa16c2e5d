"""A job is a fork of a worker whose threads go on: it must not wait for any of their locks."""

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Final

import pytest

from scripts.stack.place import CHECKOUT
from tests.builders import environment_for

NOWHERE: Final = SimpleNamespace(
    app_url="postgresql://app:app@127.0.0.1:1/ecs", owner_url="postgresql://app:app@127.0.0.1:1/ecs"
)
# As if one thread were showing everything, and another keeping it, at the moment of the fork.
FORK: Final = """
import gc, os, signal, structlog
from ecs.domain.measures import JOB_SECONDS
from workers.runtime import start

_, telemetry = start("rq-accounts", forks=True)
for one in gc.get_objects():
    if str(type(one).__module__).startswith("prometheus_client") and hasattr(one, "_lock"):
        one._lock.acquire(timeout=0.1)
job = os.fork()
if job == 0:
    signal.alarm(10)
    telemetry.measures.observe(JOB_SECONDS, 0.1, kind="open_account", outcome="done")
    structlog.get_logger().error("job.failed")
    os._exit(0)
os._exit(os.waitstatus_to_exitcode(os.waitpid(job, 0)[1]) != 0)
"""


class TestAForkedJob:
    @pytest.mark.parametrize("enabled", ["true", "false"])
    def test_measures_and_logs_whatever_its_workers_threads_hold(self, enabled: str) -> None:
        environment = environment_for(NOWHERE, "redis://127.0.0.1:1/0")
        ended = subprocess.run(
            [sys.executable, "-c", FORK],
            cwd=CHECKOUT,
            env=os.environ | environment | {"METRICS_ENABLED": enabled},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        assert "job.failed" in ended.stdout
