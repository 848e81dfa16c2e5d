"""How the outcomes are shown: 80 columns, the same in a terminal, a pipe and the docs."""

import textwrap
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

from rich.text import Text

from scripts.demo.loans import Reply
from scripts.demo.outcomes import Mood, Outcome
from scripts.demo.roles import ROLES, Role
from scripts.demo.walk import CURRENCY

WIDTH: Final = 80
INDENT: Final = 4 * " "
REASONS_SHOWN: Final = 2
NONE: Final = "–"  # noqa: RUF001  (what the documentation shows for nothing)
COLOURS: Final = {"offered": "green", "referred": "yellow", "denied": "red"}
COLUMNS: Final = (
    *("person", "got", f"limit {CURRENCY}", "APR", "type", "score", "mood", "account"),
)


def table(outcomes: Mapping[str, Outcome]) -> Text:
    """Return three lines or more about each of the ten: the numbers, who it is, and why."""
    lines = [Text(_line(*COLUMNS), style="bold"), Text("─" * WIDTH, style="dim")]
    for role in ROLES:
        if role.name in outcomes:
            lines += _rows(role, outcomes[role.name])
    return Text("\n").join(lines)


def summary(lines: Mapping[str, Sequence[str]]) -> Text:
    """Return whether everybody got what is documented, and person by person what is different."""
    if not lines:
        return Text(f"As documented: {len(ROLES)} of {len(ROLES)} (docs/demo.md).", style="green")
    told = [f"{len(lines)} of {len(ROLES)} did not get what docs/demo.md says:"]
    for name, found in lines.items():
        told += [f"  {_plain(name)}", *(f"    {line}" for line in found)]
    return Text("\n".join(told), style="red")


def told(reply: Reply) -> str:
    """Return what became of a wish for a loan, in one line."""
    wish = f"{reply.wish.loan_type.lower()}, {reply.wish.amount:,} INR"
    score = f"score {reply.score}" if reply.score else "no score yet"
    most = f", at most {Decimal(reply.most):,.2f}" if reply.most else ""
    return f"{wish:<22}{_plain(reply.status.lower()):<15}{score}{most}"


def _rows(role: Role, outcome: Outcome) -> list[Text]:
    numbers = Text(_line(*_numbers(role, outcome)), style=COLOURS.get(outcome.status, ""))
    story = Text(f"  {role.full_name}: {role.story}")
    return [numbers, story, *(Text(line, style="dim") for line in _why(outcome))]


def _numbers(role: Role, outcome: Outcome) -> tuple[str, ...]:
    score = f"{outcome.score} {_plain(outcome.risk_category)}" if outcome.score else NONE
    return (
        _plain(role.name),
        outcome.status,
        f"{Decimal(outcome.credit_limit):,.2f}" if outcome.credit_limit else NONE,
        f"{Decimal(outcome.apr) * 100:.2f} %" if outcome.apr else NONE,
        _plain(outcome.credit_type) if outcome.credit_type else NONE,
        score,
        _rise(outcome),
        "open" if outcome.account_limit else NONE,
    )


def _line(*cells: str) -> str:
    person, got, limit, apr, kind, score, mood, account = cells
    return (
        f"{person:<16}{got:<9}{limit:>9} {apr:>7}  {kind:<11}{score:<13}{mood:<5}{account}"
    ).rstrip()


def _why(outcome: Outcome) -> list[str]:
    parts = (
        *outcome.reasons[:REASONS_SHOWN],
        *outcome.next_steps,
        _about(outcome.mood),
        _asked_twice(outcome.answers),
    )
    return [
        line
        for part in parts
        for line in textwrap.wrap(part, WIDTH, initial_indent=INDENT, subsequent_indent=INDENT)
    ]


def _about(mood: Mood) -> str:
    if mood.refused:
        return f"{mood.refused} readings of mood refused: {mood.refused_as}"
    if mood.information:
        return mood.information
    return f"{mood.stored} readings of mood used: they lower nothing" if mood.used else ""


def _asked_twice(answers: Sequence[str]) -> str:
    """Return all answers of somebody who asked twice."""
    twice = len({answer.partition(" ")[0] for answer in answers}) < len(answers)
    return ", then ".join(answers) if twice else ""


def _rise(outcome: Outcome) -> str:
    if not (outcome.mood.used and outcome.credit_limit and outcome.without_emotion):
        return NONE
    rise = Decimal(outcome.credit_limit) / Decimal(outcome.without_emotion) - 1
    return f"+{rise * 100:.0f} %"


def _plain(word: str | None) -> str:
    return (word or NONE).replace("_", " ")
