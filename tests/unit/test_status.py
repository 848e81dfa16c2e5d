"""What `make status` says of the programs."""

import pytest

from scripts.stack.__main__ import not_running
from scripts.stack.supervision import State


def state_of(name: str, state: str) -> State:
    return State(name=name, state=state, pid=0, description="")


class TestNotRunning:
    @pytest.mark.parametrize("state", ["STOPPED", "STARTING", "BACKOFF", "FATAL", "EXITED"])
    def test_names_who_is_missing(self, state: str) -> None:
        states = [state_of("nginx", "RUNNING"), state_of("outbox-relay", state)]
        assert not_running(states) == ["outbox-relay"]

    @pytest.mark.parametrize("name", ["prometheus", "postgres-exporter", "trace-sink"])
    def test_leaves_out_who_need_not_be_there(self, name: str) -> None:
        assert not_running([state_of(name, "STOPPED")]) == []
