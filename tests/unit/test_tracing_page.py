"""What the page on traces says is sent is what is sent."""

import json
import os
import re

from ecs.integrations.telemetry.scrubbing import ATTRIBUTES, EVENT_ATTRIBUTES
from ecs.integrations.telemetry.tracing import OpenTelemetryTraces
from scripts.stack.place import CHECKOUT


def told() -> set[str]:
    """The names in the second column of the page's table."""
    page = (CHECKOUT / "docs/tracing.md").read_text()
    _, _, table = page.partition("| told | as |\n")
    rows = table.partition("\n\n")[0].splitlines()[1:]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[2])}


def of_a_process() -> set[str]:
    """What is told of the process itself: of a fork, as jobs are, where the library adds an id."""
    traces = OpenTelemetryTraces("http://127.0.0.1:1", service="s", environment="e", version="1")
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, json.dumps([*traces.provider.resource.attributes]).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(writer)
    with os.fdopen(reader) as said:
        names = {*json.load(said)}
    traces.provider.shutdown()
    return names


class TestTold:
    def test_lists_each_attribute_that_is_sent_and_no_other(self) -> None:
        assert told() == ATTRIBUTES | EVENT_ATTRIBUTES | of_a_process()
