"""
Show a decision whole, decide again from what was recorded, and compare to the byte.

    python -m scripts.explain_decision --offer <id of an offer or of an assessment>

For those who have to defend it; reads with the owner's rights. Exit code 1 when deciding again does
not give the same bytes.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final
from uuid import UUID

from rich.console import Console
from rich.table import Table

from ecs.bootstrap import owner_application
from ecs.config import settings_or_exit
from ecs.domain.credit.replay import MoodSource, Replay, Verdict
from ecs.log import configure_logging
from ecs.services.exceptions import BusinessLogicError

VERDICTS: Final[dict[Verdict, str]] = {
    Verdict.IDENTICAL: "identical to the byte",
    Verdict.DIFFERENT: "DIFFERENT: the same facts and files give another decision",
    Verdict.FACTS_GONE: "impossible: transactions it was made from are gone or changed",
    Verdict.OTHER_MODEL: "impossible here: it was made by another policy; use that release",
}
MOOD_SOURCES: Final[dict[MoodSource, str]] = {
    MoodSource.EVENTS: "its emotional events",
    MoodSource.STORED_FEATURES: "its stored emotional features (the raw events are gone)",
    MoodSource.NOTHING: "no emotional data",
}


async def replay(decision_id: UUID) -> Replay:
    """Decide again with the owner's rights: the decision may be anybody's."""
    async with owner_application(settings_or_exit()) as ecs:
        return await ecs.replays.replay(decision_id)


def lines(decision: Replay) -> Iterator[str]:
    """Yield what is said around the table of points."""
    record = decision.recorded.record
    inputs, model, policy = record["inputs"], record["model"], record["policy"]
    yield f"{record['status'].upper()} on {inputs['now'][:16].replace('T', ' ')} UTC"
    yield (
        f"by {model['id']} {model['version']} under policy {policy['id']} {policy['version']}, from"
        f" {len(inputs['transaction_ids'])} transactions of {inputs['window_days']} days"
    )
    if record["assessment"] is not None:
        yield from _assessed(record["assessment"])
    yield f"emotion: {_mood(record['emotion'])}"
    yield from (f"{reason['code']}: {reason['text']}" for reason in record["reasons"])
    yield from (f"next: {step}" for step in record["next_steps"])


def points(record: Mapping[str, Any]) -> Table:
    """Return every feature with its value and, where people were judged, its points."""
    table = Table("feature", "value", "points", box=None, pad_edge=False)
    judged = (record["assessment"] or {}).get("points", {})
    for name, value in record["features"].items():
        table.add_row(name, "-" if value is None else f"{value:.6g}", str(judged.get(name, "")))
    return table


def _assessed(assessment: Mapping[str, Any]) -> Iterator[str]:
    final, without = assessment["final"], assessment["without_emotion"]
    factors = " x ".join(
        f"{name} {value:.6f}" for name, value in final["multipliers"].items()
    ).replace("_", " ")
    yield (
        f"score {assessment['score']}, probability of default"
        f" {assessment['probability_of_default']:.6f}, category {assessment['risk_category']}"
    )
    yield f"APR {assessment['apr']}, tenor {assessment['tenor_months']} months"
    yield f"limit {final['limit']} = base {final['base']:.2f} x {factors}"
    yield f"caps bound: {', '.join(final['caps_bound']) or 'none'}"
    yield f"without emotion: {without['limit']}"


def _mood(emotion: Mapping[str, Any]) -> str:
    if emotion["used"]:
        return f"factor {emotion['factor']:.6f} from {emotion['events']} events"
    return f"not used ({emotion['absent_reason'] or 'there was no limit to raise'})"


def id_of(text: str) -> UUID:
    """Return an id as it is printed in an answer."""
    try:
        return UUID(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            "an id looks like 01a1fdc6-4716-7684-a6b2-5c2e09391d92"
        ) from None


def main() -> None:
    """Read the id, decide again, print both."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--offer", required=True, type=id_of, metavar="ID")
    decision_id = parser.parse_args().offer
    configure_logging(level="warning", service="explain-decision")
    try:
        decision = asyncio.run(replay(decision_id))
    except BusinessLogicError:
        sys.exit("There is no decision with this id, as an offer or as an assessment.")
    console = Console(highlight=False, soft_wrap=True)
    for line in lines(decision):
        console.print(line, markup=False)
    console.print(points(decision.recorded.record))
    console.print(
        f"replay from {MOOD_SOURCES[decision.mood_source]}: {VERDICTS[decision.verdict]}",
        markup=False,
    )
    sys.exit(decision.verdict is not Verdict.IDENTICAL)


if __name__ == "__main__":
    main()
