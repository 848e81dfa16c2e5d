from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from ecs.bootstrap import Application
from ecs.domain.emotions.events import IncomingEvent, Verdict
from tests.builders import Database, a_client, a_consent, a_user, withdraw
from tests.integration.readings import (
    a_pair,
    an_event,
    ingest,
    ingest_unvouched,
    row_of,
    stored,
)
from tests.statements import COMMIT, statement_log

Change = Callable[[IncomingEvent], IncomingEvent]
MINUTE = timedelta(minutes=1)
TICK = timedelta(microseconds=1)
AGE_MAX = timedelta(days=30)

OTHER_CONTENT = [
    pytest.param(lambda i: replace(i, captured_at=i.captured_at + TICK), id="moment"),
    pytest.param(lambda i: replace(i, emotion="fear"), id="emotion"),
    pytest.param(lambda i: replace(i, confidence=0.91), id="confidence"),
    pytest.param(lambda i: replace(i, arousal=-0.25), id="arousal"),
    pytest.param(lambda i: replace(i, valence=0.5000000000000001), id="valence"),
    pytest.param(lambda i: replace(i, source="unknown"), id="source"),
]


@pytest.fixture
async def pair(database: Database) -> tuple[UUID, UUID]:
    return await a_pair(database)


@pytest.fixture
def item(pair: tuple[UUID, UUID]) -> IncomingEvent:
    return an_event(*pair)


class TestVerdicts:
    @pytest.mark.parametrize(
        ("change", "verdict"),
        [
            pytest.param(lambda i: i, Verdict.ACCEPTED, id="sound"),
            pytest.param(
                lambda i: replace(i, confidence=0.0, arousal=-1.0, valence=-1.0),
                Verdict.ACCEPTED,
                id="least",
            ),
            pytest.param(
                lambda i: replace(i, confidence=1.0, arousal=1.0, valence=1.0),
                Verdict.ACCEPTED,
                id="most",
            ),
            pytest.param(
                lambda i: replace(i, captured_at=datetime.now(UTC) + 4 * MINUTE),
                Verdict.ACCEPTED,
                id="a-little-ahead",
            ),
            pytest.param(
                lambda i: replace(i, captured_at=datetime.now(UTC) + 6 * MINUTE),
                Verdict.FUTURE_TIMESTAMP,
                id="too-far-ahead",
            ),
            pytest.param(
                lambda i: replace(i, captured_at=datetime.now(UTC) - AGE_MAX + MINUTE),
                Verdict.ACCEPTED,
                id="nearly-thirty-days",
            ),
            pytest.param(
                lambda i: replace(i, captured_at=datetime.now(UTC) - AGE_MAX - MINUTE),
                Verdict.TOO_OLD,
                id="over-thirty-days",
            ),
            pytest.param(
                lambda i: replace(i, user_id=uuid4()), Verdict.UNKNOWN_USER, id="unknown-user"
            ),
            pytest.param(
                lambda i: replace(i, user_id=uuid4(), captured_at=datetime.now(UTC) + 6 * MINUTE),
                Verdict.FUTURE_TIMESTAMP,
                id="time-before-person",
            ),
        ],
    )
    async def test_each_item_is_judged(
        self, ecs: Application, owner: Any, item: IncomingEvent, change: Change, verdict: Verdict
    ) -> None:
        changed = change(item)
        assert await ingest(ecs, changed) == [verdict]
        kept = [row_of(changed)] if verdict is Verdict.ACCEPTED else []
        assert list(await stored(owner)) == kept

    @pytest.mark.parametrize(
        ("offset", "verdict"),
        [
            (5 * MINUTE, Verdict.ACCEPTED),
            (5 * MINUTE + TICK, Verdict.FUTURE_TIMESTAMP),
            (-AGE_MAX, Verdict.ACCEPTED),
            (-AGE_MAX - TICK, Verdict.TOO_OLD),
        ],
    )
    async def test_the_bounds_of_time_are_exact(
        self, ecs: Application, item: IncomingEvent, offset: timedelta, verdict: Verdict
    ) -> None:
        now = datetime.now(UTC)
        service = replace(ecs.emotions, now=lambda: now)
        assert await service.ingest([replace(item, captured_at=now + offset)]) == {0: verdict}

    async def test_bad_items_do_not_stop_good_ones(
        self, ecs: Application, database: Database, owner: Any, item: IncomingEvent
    ) -> None:
        sound = replace(item, event_id=uuid4())
        verdicts = await ingest(
            ecs,
            replace(item, user_id=uuid4()),
            item,
            replace(item, user_id=await a_user(database)),
            replace(item, captured_at=datetime(9999, 1, 1, tzinfo=UTC)),
            sound,
        )
        assert verdicts == [
            *("unknown_user", "accepted", "consent_missing", "future_timestamp", "accepted")
        ]
        assert set(await stored(owner)) == {row_of(item), row_of(sound)}

    async def test_places_need_not_follow_each_other(
        self, ecs: Application, owner: Any, item: IncomingEvent
    ) -> None:
        """Items that could not be read leave gaps, and the lowest place is the first."""
        first, late = replace(item, index=3), replace(item, index=900, valence=0.1)
        assert await ecs.emotions.ingest([late, first]) == {3: "accepted", 900: "id_conflict"}
        assert set(await stored(owner)) == {row_of(first)}

    async def test_a_batch_of_nothing_but_refusals_asks_the_database_nothing(
        self, ecs: Application, item: IncomingEvent
    ) -> None:
        with statement_log() as told:
            assert await ingest(ecs, replace(item, captured_at=datetime(1, 1, 1, tzinfo=UTC))) == [
                Verdict.TOO_OLD
            ]
        assert told == []


class TestConsent:
    async def test_is_needed(
        self, ecs: Application, database: Database, item: IncomingEvent
    ) -> None:
        silent = replace(item, user_id=await a_user(database))
        assert await ingest(ecs, silent) == [Verdict.CONSENT_MISSING]

    async def test_holds_for_one_client(
        self, ecs: Application, database: Database, item: IncomingEvent
    ) -> None:
        foreign = replace(item, client_id=await a_client(database))
        assert await ingest(ecs, foreign) == [Verdict.CONSENT_MISSING]

    async def test_holds_for_one_purpose(
        self, ecs: Application, owner: Any, item: IncomingEvent
    ) -> None:
        await owner.execute("UPDATE consent_changes SET purpose = 'emotion.advertising'")
        assert await ingest(ecs, item) == [Verdict.CONSENT_MISSING]

    async def test_of_another_person_to_the_same_client_permits_nothing(
        self, ecs: Application, database: Database, item: IncomingEvent
    ) -> None:
        other = replace(item, event_id=uuid4(), user_id=await a_user(database))
        assert await ingest(ecs, other, item) == [Verdict.CONSENT_MISSING, Verdict.ACCEPTED]

    async def test_can_be_withdrawn_and_given_again(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        user_id, client_id = await a_user(database), await a_client(database)
        for _ in range(3):
            consent_id = await a_consent(database, user_id, client_id)
            assert await ingest(ecs, an_event(user_id, client_id)) == [Verdict.ACCEPTED]
            await withdraw(database, user_id, client_id, consent_id=consent_id)
            assert await ingest(ecs, an_event(user_id, client_id)) == [Verdict.CONSENT_MISSING]
        assert (await stored(owner)).total() == 3

    async def test_is_asked_again_for_what_is_stored_already(
        self, ecs: Application, database: Database, owner: Any
    ) -> None:
        user_id, client_id = await a_user(database), await a_client(database)
        consent_id = await a_consent(database, user_id, client_id)
        item = an_event(user_id, client_id)
        await ingest(ecs, item)
        await withdraw(database, user_id, client_id, consent_id=consent_id)
        assert await ingest(ecs, item) == [Verdict.CONSENT_MISSING]
        assert set(await stored(owner)) == {row_of(item)}

    async def test_is_looked_at_for_each_pair_in_a_batch(
        self, ecs: Application, database: Database
    ) -> None:
        people = [await a_user(database) for _ in range(2)]
        clients = [await a_client(database) for _ in range(2)]
        await a_consent(database, people[0], clients[0])
        await a_consent(database, people[1], clients[1])
        verdicts = await ingest(
            ecs, *(an_event(person, client) for person in people for client in clients)
        )
        assert verdicts == ["accepted", "consent_missing", "consent_missing", "accepted"]


class TestIdentity:
    async def test_a_replay_is_all_duplicates_and_stores_nothing(
        self, ecs: Application, owner: Any, pair: tuple[UUID, UUID]
    ) -> None:
        items = [an_event(*pair) for _ in range(5)]
        assert set(await ingest(ecs, *items)) == {Verdict.ACCEPTED}
        before = await owner.fetch("SELECT ctid, xmin, * FROM emotional_events")
        assert set(await ingest(ecs, *reversed(items))) == {Verdict.DUPLICATE}
        assert await owner.fetch("SELECT ctid, xmin, * FROM emotional_events") == before

    @pytest.mark.parametrize("change", OTHER_CONTENT)
    @pytest.mark.parametrize("together", [True, False], ids=["one-batch", "two-batches"])
    async def test_the_same_id_with_other_content_is_a_conflict(
        self, ecs: Application, owner: Any, item: IncomingEvent, *, change: Change, together: bool
    ) -> None:
        if together:
            verdicts = await ingest(ecs, item, change(item))
        else:
            verdicts = [*await ingest(ecs, item), *await ingest(ecs, change(item))]
        assert verdicts == [Verdict.ACCEPTED, Verdict.ID_CONFLICT]
        assert set(await stored(owner)) == {row_of(item)}

    @pytest.mark.parametrize("together", [True, False], ids=["one-batch", "two-batches"])
    async def test_the_same_id_of_another_person_is_a_conflict(
        self,
        ecs: Application,
        database: Database,
        owner: Any,
        item: IncomingEvent,
        *,
        together: bool,
    ) -> None:
        other = replace(item, user_id=await a_user(database))
        await a_consent(database, other.user_id, other.client_id)
        if together:
            verdicts = await ingest(ecs, item, other)
        else:
            verdicts = [*await ingest(ecs, item), *await ingest(ecs, other)]
        assert verdicts == [Verdict.ACCEPTED, Verdict.ID_CONFLICT]
        assert set(await stored(owner)) == {row_of(item)}

    async def test_the_same_moment_in_another_zone_is_the_same_content(
        self, ecs: Application, item: IncomingEvent
    ) -> None:
        moved = item.captured_at.astimezone(datetime.now().astimezone().tzinfo)
        verdicts = await ingest(ecs, item, replace(item, captured_at=moved))
        assert verdicts == [Verdict.ACCEPTED, Verdict.DUPLICATE]

    async def test_a_zero_has_no_sign(self, ecs: Application, item: IncomingEvent) -> None:
        verdicts = await ingest(ecs, replace(item, valence=0.0), replace(item, valence=-0.0))
        assert verdicts == [Verdict.ACCEPTED, Verdict.DUPLICATE]

    async def test_of_many_equal_ids_the_first_wins(
        self, ecs: Application, item: IncomingEvent
    ) -> None:
        other = replace(item, valence=0.1)
        verdicts = await ingest(ecs, item, other, item, other)
        assert verdicts == ["accepted", "id_conflict", "duplicate", "id_conflict"]

    async def test_what_is_stored_wins_over_the_first_of_a_batch(
        self, ecs: Application, item: IncomingEvent
    ) -> None:
        await ingest(ecs, item)
        other = replace(item, valence=0.1)
        assert await ingest(ecs, other, item, other) == ["id_conflict", "duplicate", "id_conflict"]

    @pytest.mark.parametrize("known", [True, False])
    async def test_somebody_who_permits_nothing_does_not_poison_the_id(
        self, ecs: Application, database: Database, owner: Any, item: IncomingEvent, *, known: bool
    ) -> None:
        stranger = replace(item, user_id=await a_user(database) if known else uuid4())
        verdicts = await ingest(ecs, stranger, item, stranger, item)
        refused = "consent_missing" if known else "unknown_user"
        assert verdicts == [refused, "accepted", refused, "duplicate"]
        assert set(await stored(owner)) == {row_of(item)}

    @pytest.mark.parametrize("together", [True, False], ids=["one-batch", "two-batches"])
    async def test_two_clients_may_use_the_same_id(
        self,
        ecs: Application,
        database: Database,
        owner: Any,
        item: IncomingEvent,
        *,
        together: bool,
    ) -> None:
        twin = replace(item, client_id=await a_client(database), valence=-0.5)
        await a_consent(database, twin.user_id, twin.client_id)
        batches = [[item, twin]] if together else [[item], [twin]]
        with statement_log() as told:
            verdicts = [verdict for batch in batches for verdict in await ingest(ecs, *batch)]
        assert verdicts == [Verdict.ACCEPTED, Verdict.ACCEPTED]
        assert [statement == COMMIT for statement in told] == [False, True] * len(batches)
        assert set(await stored(owner)) == {row_of(item), row_of(twin)}
        for replay in ([item, twin], [twin, item]):
            assert await ingest(ecs, *replay) == [Verdict.DUPLICATE, Verdict.DUPLICATE]


class TestUnvouchedClients:
    async def test_may_send_what_they_have_the_scope_for(
        self, ecs: Application, owner: Any, item: IncomingEvent
    ) -> None:
        assert await ingest_unvouched(ecs, item, item) == ["accepted", "duplicate"]
        assert set(await stored(owner)) == {row_of(item)}

    async def test_are_judged_before_their_items(
        self, ecs: Application, database: Database, owner: Any, item: IncomingEvent
    ) -> None:
        narrow = await a_client(database, scopes=["transactions:write"])
        disabled, narrow_and_disabled = await a_client(database), await a_client(database)
        for client_id in (narrow, disabled, narrow_and_disabled):
            await a_consent(database, item.user_id, client_id)
        await owner.execute(
            "UPDATE clients SET disabled_at = now() WHERE id = ANY($1)",
            [disabled, narrow_and_disabled],
        )
        await owner.execute(
            "UPDATE clients SET scopes = '{transactions:write}' WHERE id = $1", narrow_and_disabled
        )
        senders = [uuid4(), item.client_id, narrow, disabled, narrow_and_disabled]
        sent = [replace(item, client_id=sender) for sender in senders]
        verdicts = [
            *("unknown_client", "accepted", "missing_scope", "unknown_client", "unknown_client")
        ]
        assert await ingest_unvouched(ecs, *sent) == verdicts
        late = [replace(event, captured_at=datetime(9999, 1, 1, tzinfo=UTC)) for event in sent]
        verdicts[1] = "future_timestamp"
        assert await ingest_unvouched(ecs, *late) == verdicts
        assert set(await stored(owner)) == {row_of(item)}

    async def test_need_consent_like_everybody(
        self, ecs: Application, database: Database, item: IncomingEvent
    ) -> None:
        foreign = replace(item, client_id=await a_client(database))
        assert await ingest_unvouched(ecs, foreign) == [Verdict.CONSENT_MISSING]

    async def test_share_events_with_the_other_door(
        self, ecs: Application, owner: Any, item: IncomingEvent
    ) -> None:
        assert await ingest(ecs, item) == [Verdict.ACCEPTED]
        assert await ingest_unvouched(ecs, item) == [Verdict.DUPLICATE]
        assert set(await stored(owner)) == {row_of(item)}
