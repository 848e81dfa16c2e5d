import importlib
import inspect
import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, Final

import pytest

from ecs.bootstrap import JOB_FUNCTIONS
from ecs.domain.events import DESTINATIONS, EVENTS, Event
from workers.cron import (
    CLEAN_UP_SECONDS,
    EXPIRE_OFFERS_SECONDS,
    QUEUE,
    REMOVE_EVENTS_SECONDS,
    make_scheduler,
)
from workers.rq_worker import QUEUES

FORM: Final = re.compile(r"(rq|amqp):[a-z0-9._-]+")  # As the database checks it.


def function_named(path: str) -> Callable[..., Any]:
    module, _, name = path.rpartition(".")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
class TestEvents:
    def test_say_where_they_are_carried(self, event: type[Event]) -> None:
        assert FORM.fullmatch(event.destination)
        assert event.destination in DESTINATIONS

    def test_go_to_a_queue_that_somebody_serves(self, event: type[Event]) -> None:
        scheme, _, place = event.destination.partition(":")
        assert scheme != "rq" or place in QUEUES

    def test_have_a_dotted_constant_name(self, event: type[Event]) -> None:
        assert re.fullmatch(r"[a-z]+\.[a-z]+(-[a-z]+)+", event.name)

    def test_are_frozen_values(self, event: type[Event]) -> None:
        assert is_dataclass(event)
        assert event.__dataclass_params__.frozen  # type: ignore[attr-defined]  # not in the stubs


@pytest.mark.parametrize(
    "event", [event for event in EVENTS if event.destination.startswith("rq:")]
)
class TestEventsForRq:
    def test_name_a_job_that_takes_them(self, event: type[Event]) -> None:
        job = function_named(JOB_FUNCTIONS[event.kind])
        payload = {field.name: "x" for field in fields(event)}
        inspect.signature(job).bind(**payload, job_id="x", request_id="x")
        inspect.signature(job).bind(**payload, job_id="x", request_id=None)


def test_names_and_kinds_are_used_once() -> None:
    assert len({event.name for event in EVENTS}) == len(EVENTS)
    assert len({event.kind for event in EVENTS}) == len(EVENTS)


def test_every_job_function_can_be_imported_and_is_meant_by_an_event() -> None:
    assert all(callable(function_named(path)) for path in JOB_FUNCTIONS.values())
    assert set(JOB_FUNCTIONS) == {
        event.kind for event in EVENTS if event.destination.startswith("rq:")
    }


def test_periodic_jobs_can_be_found_by_name_and_need_nothing() -> None:
    scheduler = make_scheduler(connection=None)  # type: ignore[arg-type]  # nothing is asked yet
    jobs = {job.func_name: job.interval for job in scheduler.get_jobs()}
    assert jobs == {
        "workers.jobs.credit.expire_offers": EXPIRE_OFFERS_SECONDS,
        "workers.jobs.emotions.remove_expired": REMOVE_EVENTS_SECONDS,
        "workers.jobs.outbox.clean_up": CLEAN_UP_SECONDS,
    }
    for name in jobs:
        inspect.signature(function_named(name)).bind()
    assert {job.queue_name for job in scheduler.get_jobs()} == {QUEUE}
    assert QUEUE in QUEUES
