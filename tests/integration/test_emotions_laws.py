"""Ingestion against a model of it that takes one item after the other."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecs.bootstrap import Application
from ecs.domain.emotions.events import IncomingEvent, Verdict
from tests.builders import Database, a_client, a_consent, a_user, withdraw
from tests.integration.readings import an_event, ingest, row_of, stored

AGES = {
    "future": -timedelta(hours=1),
    "now": timedelta(hours=1),
    "earlier": timedelta(days=29),
    "old": timedelta(days=31),
}
REFUSED = {"future": Verdict.FUTURE_TIMESTAMP, "old": Verdict.TOO_OLD}

law = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """
    Three people and two clients.

    The first person consented to both, the second to the first one only, the third withdrew.
    """

    people: Sequence[UUID]
    clients: Sequence[UUID]
    moment: datetime = field(default_factory=lambda: datetime.now(UTC))

    def event(self, recipe: "Recipe") -> IncomingEvent:
        return an_event(
            self.people[recipe.person],
            self.clients[recipe.client],
            event_id=UUID(int=recipe.event),
            captured_at=self.moment - AGES[recipe.age],
            valence=recipe.valence,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What to make an event of; person 3 is nobody."""

    person: int
    client: int
    event: int
    age: str
    valence: float

    def is_permitted(self) -> bool:
        return self.person == 0 or (self.person == 1 and self.client == 0)

    def judge(self, kept: "dict[tuple[int, int], Recipe]") -> Verdict:
        """Return the verdict after what is ``kept``, and keep what is accepted."""
        if self.age in REFUSED:
            return REFUSED[self.age]
        if self.person > 2:
            return Verdict.UNKNOWN_USER
        if not self.is_permitted():
            return Verdict.CONSENT_MISSING
        first = kept.setdefault((self.client, self.event), self)
        if first is self:
            return Verdict.ACCEPTED
        return Verdict.DUPLICATE if first == self else Verdict.ID_CONFLICT


@pytest.fixture
async def world(database: Database) -> World:
    people = [await a_user(database) for _ in range(3)]
    clients = [await a_client(database) for _ in range(2)]
    for person, client in ((0, 0), (0, 1), (1, 0)):
        await a_consent(database, people[person], clients[client])
    for client_id in clients:
        consent_id = await a_consent(database, people[2], client_id)
        await withdraw(database, people[2], client_id, consent_id=consent_id)
    return World(people=[*people, uuid4()], clients=clients)


recipes = st.builds(
    Recipe,
    person=st.sampled_from([0, 0, 1, 2, 3]),
    client=st.integers(0, 1),
    event=st.integers(1, 4),
    age=st.sampled_from(["now", "now", *AGES]),
    valence=st.sampled_from([0.0, 0.25]),
)
recipe_lists = st.lists(recipes, min_size=1, max_size=14)


def parts_of(items: Sequence[Recipe], cuts: Iterable[int]) -> list[Sequence[Recipe]]:
    places = [0, *sorted(cuts), len(items)]
    return [items[start:end] for start, end in pairwise(places) if start < end]


async def ingest_parts(
    ecs: Application, world: World, parts: Iterable[Sequence[Recipe]]
) -> list[Verdict]:
    return [
        verdict
        for part in parts
        for verdict in await ingest(ecs, *(world.event(recipe) for recipe in part))
    ]


async def forget(owner: Any) -> None:
    """Every example begins with nothing, whatever became of the one before."""
    await owner.execute("DELETE FROM emotional_events")


@law
@given(items=recipe_lists, cuts=st.lists(st.integers(0, 14), max_size=3))
async def test_a_batch_in_any_parts_is_judged_like_its_items_one_by_one(
    ecs: Application, owner: Any, world: World, items: list[Recipe], cuts: list[int]
) -> None:
    await forget(owner)
    kept: dict[tuple[int, int], Recipe] = {}
    # Equal recipes are equal values: only a copy of its own can tell the first from the second.
    expected = [replace(recipe).judge(kept) for recipe in items]
    parts = parts_of(items, [cut for cut in cuts if cut <= len(items)])
    assert await ingest_parts(ecs, world, parts) == expected
    assert set(await stored(owner)) == {row_of(world.event(recipe)) for recipe in kept.values()}


@law
@given(data=st.data(), items=recipe_lists)
async def test_without_conflicts_no_order_no_cut_and_no_replay_changes_what_is_stored(
    ecs: Application, owner: Any, world: World, data: st.DataObject, items: list[Recipe]
) -> None:
    await forget(owner)
    contents = {(recipe.client, recipe.event): recipe for recipe in items}
    items = [*contents.values(), *list(contents.values())[::2]]
    await ingest_parts(ecs, world, [items])
    whole = await stored(owner)
    await forget(owner)
    shuffled = data.draw(st.permutations(items))
    cut = data.draw(st.integers(0, len(items)))
    verdicts = await ingest_parts(ecs, world, parts_of(shuffled, [cut]))
    assert await stored(owner) == whole
    assert verdicts.count(Verdict.ACCEPTED) == whole.total()
    replayed = await ingest_parts(ecs, world, [items])
    assert await stored(owner) == whole
    assert Verdict.ACCEPTED not in replayed
    assert Verdict.ID_CONFLICT not in {*verdicts, *replayed}
