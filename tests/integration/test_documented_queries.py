"""Every query in the documents runs on the migrated database, by the indexes it names."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from tests.builders import Database, connected
from tests.documents import Block, runnable

PEOPLE: Final = 1_000
INDEX: Final = re.compile(r"^-- index: (.+)$", re.MULTILINE)
RECORD: Final = json.dumps(
    {
        "reasons": [{"code": "R06", "text": "Debt payments take 40 % of your income"}],
        "assessment": {
            "points": {"debt_service": -40},
            "final": {"limit": "4550.00"},
            "without_emotion": {"limit": "4420.00"},
        },
        "emotion": {"absent_reason": None},
    }
)
# A database of some size: PostgreSQL reads a small table whole, whatever indexes there are.
FILL: Final = (
    """INSERT INTO clients (id, name, secret_hmac, scopes)
    VALUES (md5('c')::uuid, 'watch', decode(repeat('00', 32), 'hex'), '{emotions:ingest}')""",
    f"""INSERT INTO users (id, email, full_name, password_hash)
    SELECT md5('u' || n)::uuid, CASE n WHEN 1 THEN 'maria@example.com' ELSE n || '@example.com' END,
        'Maria Souza', 'none' FROM generate_series(1, {PEOPLE}) n""",
    """INSERT INTO users (id, email, full_name, password_hash)
    VALUES ('00000000-0000-7000-8000-000000000000', 'back@example.com', 'Ana Lima', 'none')""",
    f"""INSERT INTO consent_changes (id, consent_id, user_id, client_id, purpose, revision, locale,
        text_version, text_sha256)
    SELECT md5('g' || n)::uuid, md5('g' || n)::uuid, md5('u' || n)::uuid, md5('c')::uuid,
        'emotion.credit_decision', 1, 'en', '1.0.0', '' FROM generate_series(1, {PEOPLE}) n""",
    f"""INSERT INTO emotional_events (client_id, event_id, user_id, captured_at, emotion_primary,
        emotion_confidence, arousal, valence, source)
    SELECT md5('c')::uuid, md5('e' || n)::uuid, md5('u' || (1 + n % {PEOPLE}))::uuid,
        now() - n * interval '2 minutes', 'happiness', 0.9, 0, 0.5, 'wearable'
    FROM generate_series(1, 20000) n""",
    f"""INSERT INTO risk_assessments (id, user_id, decided_at, model_id, model_version,
        model_sha256, policy_id, policy_version, policy_sha256, transaction_ids, inputs_sha256,
        score, probability_of_default, risk_score, risk_category, record, request_id)
    SELECT md5('a' || n)::uuid, md5('u' || (1 + n % {PEOPLE}))::uuid,
        now() - n * interval '1 hour', 'm', '1', '', 'p', '1', '', '{{}}', '', 500, 0.1,
        (n % 1000) / 1000.0, 'medium', '{RECORD}',
        'follow-' || (1763720000 + n % 9) FROM generate_series(1, 10000) n""",
    f"""INSERT INTO credit_offers (id, user_id, assessment_id, status, currency, created_at)
    SELECT md5('o' || n)::uuid, md5('u' || (1 + n % {PEOPLE}))::uuid, md5('a' || n)::uuid, 'denied',
        'BRL', now() - n * interval '1 hour' FROM generate_series(1, 10000) n""",
    f"""INSERT INTO jobs (id, kind, user_id, status, error_code, finished_at)
    SELECT md5('j' || n)::uuid, 'open_account', md5('u' || (1 + n % {PEOPLE}))::uuid,
        CASE WHEN n % 500 = 0 THEN 'queued' WHEN n % 7 = 0 THEN 'failed' ELSE 'succeeded' END,
        CASE WHEN n % 500 <> 0 AND n % 7 = 0 THEN 'internal' END,
        CASE WHEN n % 500 <> 0 THEN now() END FROM generate_series(1, 10000) n""",
    """INSERT INTO outbox_events (id, name, kind, destination, payload, published_at, parked_at)
    SELECT md5('j' || n)::uuid, 'credit.offer-accepted', 'open_account', 'rq:accounts', '{}',
        CASE WHEN n % 20 > 1 THEN now() END,
        CASE WHEN n % 20 = 1 THEN now() - interval '31 days' END
    FROM generate_series(1, 10000) n""",
    f"""INSERT INTO prequalification_applications (id, user_id, pan_ciphertext, pan_blind_index,
        pan_masked, applicant_name, loan_type, monthly_income_minor, loan_amount_minor, status,
        duplicate_period, created_at, decision_reason, policy)
    SELECT md5('p' || n)::uuid, md5('u' || (1 + n % {PEOPLE}))::uuid, decode('010131', 'hex'),
        decode(md5('p' || n) || md5('q' || n), 'hex'), 'XXXXXX234F', 'Asha Rao', 'HOME', 1, 1,
        CASE WHEN n % 500 = 0 THEN 'PENDING' ELSE 'REJECTED' END, 'empty',
        now() - interval '5 hours', CASE WHEN n % 500 <> 0 THEN 'score' END,
        CASE WHEN n % 500 <> 0 THEN 'p' END FROM generate_series(1, 5000) n""",
    """INSERT INTO outbox_events (id, name, kind, destination, payload, published_at)
    SELECT md5('s' || n)::uuid, 'prequalification.application-submitted', 'application_submitted',
        'amqp:ecs.domain', jsonb_build_object('application_id', md5('p' || n)::uuid),
        now() - interval '5 hours' FROM generate_series(1, 5000) n""",
    """INSERT INTO outbox_events (id, name, kind, destination, payload, parked_at)
    SELECT md5('t' || n)::uuid, 'prequalification.application-submitted', 'application_submitted',
        'amqp:ecs.domain', jsonb_build_object('application_id', md5('p' || n)::uuid), now()
    FROM generate_series(1, 9) n""",
    "ANALYZE",
)


@pytest.fixture
async def asked(database: Database) -> AsyncIterator[Any]:
    """A connection with the owner's rights to a database of some size."""
    async with connected(database.owner_url) as owner:
        for statement in FILL:
            await owner.execute(statement)
        yield owner


async def test_runs_by_the_indexes_it_names(asked: Any) -> None:
    queries = runnable("sql")
    assert len([query for query in queries if INDEX.search(query.text)]) >= 6
    for query in queries:
        rows = await asked.fetch(query.text)
        assert rows, f"{query.name} finds nothing: give it something to find"
        plan = "\n".join(row[0] for row in await asked.fetch(f"EXPLAIN {query.text}"))
        _assert_uses(plan, query)


def _assert_uses(plan: str, query: Block) -> None:
    named = INDEX.search(query.text)
    if named is None:
        return
    if named[1] == "none":
        assert "Seq Scan" in plan, f"{query.name}\n{plan}"
        return
    for index in named[1].split(", "):
        either = index.replace(" or ", "|")
        assert re.search(rf"\b({either})\b", plan), f"{query.name} does not use {index}\n{plan}"
