"""What schemathesis checks beside its own checks: truths of every answer that no schema holds."""

from typing import Any

import schemathesis

PROBLEM = "application/problem+json"
SAFE_HEADERS = ("x-content-type-options", "content-security-policy", "referrer-policy")


@schemathesis.check
def every_answer_is_safe_and_traceable(ctx: Any, response: Any, case: Any) -> None:
    """Every answer carries the safe headers and an id; every problem repeats that id."""
    names = {name.lower() for name in response.headers}
    assert names >= {*SAFE_HEADERS, "x-request-id", "cache-control"}, sorted(names)
    if response.headers.get("content-type") == [PROBLEM]:
        assert response.json()["request_id"] == response.headers["x-request-id"][0]
        assert response.json()["status"] == response.status_code


@schemathesis.check
def every_item_of_a_batch_is_judged(ctx: Any, response: Any, case: Any) -> None:
    """A batch is answered item by item, and one that breaks the schema holds a rejected item."""
    if not case.operation.path.endswith("/ingest") or response.status_code != 200:
        return
    judged = response.json()
    (items,) = case.body.values()
    assert judged["accepted"] + judged["duplicates"] + judged["rejected"] == len(items)
    assert [result["index"] for result in judged["results"]] == list(range(len(items)))
    if case.meta is not None and case.meta.generation.mode.is_negative:
        assert judged["rejected"] > 0
