"""What must hold in the database at every moment: I1 to I3, I6, I8, I10 of reliability."""

from typing import Final

from tests.builders import connected

BREACHES: Final[dict[str, str]] = {
    "I1: every accepted offer has exactly one account": """
        SELECT o.id FROM credit_offers o LEFT JOIN credit_accounts a ON a.offer_id = o.id
        WHERE o.status = 'accepted' GROUP BY o.id HAVING count(a.id) <> 1""",
    "I1: an account comes from an accepted offer, on its terms": """
        SELECT a.id FROM credit_accounts a LEFT JOIN credit_offers o ON o.id = a.offer_id
        WHERE o.status IS DISTINCT FROM 'accepted' OR o.user_id <> a.user_id
           OR (o.credit_limit_minor, o.apr, o.currency, o.credit_type)
              IS DISTINCT FROM (a.credit_limit_minor, a.apr, a.currency, a.credit_type)""",
    "I2: nobody has two active offers": """
        SELECT user_id FROM credit_offers WHERE status IN ('offered', 'accepting')
        GROUP BY user_id HAVING count(*) > 1""",
    "I2: nobody has two active accounts": """
        SELECT user_id FROM credit_accounts WHERE status = 'active'
        GROUP BY user_id HAVING count(*) > 1""",
    "I3: one notification for each job and kind, and no other than its outcome": """
        SELECT job_id FROM notifications WHERE job_id IS NOT NULL
        GROUP BY job_id HAVING count(*) > 1""",
    "I3: a finished job has told its outcome": """
        SELECT j.id FROM jobs j LEFT JOIN notifications n ON n.job_id = j.id
        WHERE j.kind = 'open_account' AND j.status IN ('succeeded', 'failed') AND n.id IS NULL""",
    "I3: what somebody is told is mailed by one job, and nothing else is mailed": """
        SELECT coalesce(n.id, j.id)
        FROM (SELECT id FROM notifications WHERE job_id IS NOT NULL) n
        FULL JOIN (SELECT id FROM jobs WHERE kind = 'send_email') j ON j.id = n.id
        WHERE n.id IS NULL OR j.id IS NULL""",
    "I3: account_opened belongs to an accepted offer": """
        SELECT n.id FROM notifications n JOIN credit_offers o ON o.id = n.offer_id
        WHERE n.kind = 'account_opened' AND o.status <> 'accepted'""",
    "I6: an opened account has been remembered by its consumer": """
        SELECT j.id FROM jobs j
        WHERE j.kind = 'open_account' AND j.status = 'succeeded' AND NOT EXISTS (
            SELECT FROM processed_messages p
            WHERE p.consumer = 'credit.open-account' AND p.message_id = j.id)""",
    "I6: what the consumer remembers has had its effect": """
        SELECT p.message_id FROM processed_messages p LEFT JOIN jobs j ON j.id = p.message_id
        WHERE p.consumer = 'credit.open-account'
          AND (j.id IS NULL OR j.status NOT IN ('succeeded', 'failed'))""",
    "consents are granted and withdrawn in turn, without a gap": """
        SELECT user_id FROM consent_changes GROUP BY user_id, purpose, client_id
        HAVING max(revision) <> count(*)""",
    "a withdrawal ends the grant before it": """
        SELECT w.id FROM consent_changes w LEFT JOIN consent_changes g
          ON (g.user_id, g.purpose, g.client_id, g.revision)
           = (w.user_id, w.purpose, w.client_id, w.revision - 1)
        WHERE w.id <> w.consent_id AND g.id IS DISTINCT FROM w.consent_id""",
    "a decision that looked at events names a consent": """
        SELECT id FROM risk_assessments
        WHERE cardinality(emotional_event_ids) > 0 AND cardinality(consent_ids) = 0""",
    "I8: an application's version counts its statuses, and the last of them is its own": """
        SELECT a.id FROM prequalification_applications a
        JOIN prequalification_status_changes c ON c.application_id = a.id
        GROUP BY a.id
        HAVING count(*) <> a.version OR max(c.version) <> a.version
            OR (array_agg(c.status ORDER BY c.version DESC))[1] <> a.status""",
    "I8: an application has its first status": """
        SELECT id FROM prequalification_applications a WHERE NOT EXISTS (
            SELECT FROM prequalification_status_changes c
            WHERE c.application_id = a.id AND c.version = 1 AND c.status = 'PENDING')""",
    "I8: statuses move forward only": """
        SELECT c.application_id FROM prequalification_status_changes c
        JOIN prequalification_status_changes p
          ON p.application_id = c.application_id AND p.version = c.version - 1
        WHERE NOT (p.status = 'PENDING' AND c.status <> 'PENDING'
                OR p.status = 'MANUAL_REVIEW' AND c.status IN ('PRE_APPROVED', 'REJECTED'))""",
    "a decided application has its report": """
        SELECT id FROM prequalification_applications a
        WHERE status <> 'PENDING'
          AND NOT EXISTS (SELECT FROM credit_reports r WHERE r.application_id = a.id)""",
    "I6: a report is announced by one event": """
        SELECT payload->>'application_id' FROM outbox_events
        WHERE name = 'prequalification.credit-report-generated'
        GROUP BY 1 HAVING count(*) > 1""",
    "I10: no PAN was encrypted or decrypted unseen": """
        SELECT a.id FROM prequalification_applications a
        LEFT JOIN credit_reports r ON r.application_id = a.id
        WHERE NOT EXISTS (SELECT FROM audit_log l
                          WHERE l.application_id = a.id AND l.action = 'ENCRYPT')
           OR r.application_id IS NOT NULL AND NOT EXISTS (
                SELECT FROM audit_log l WHERE l.application_id = a.id AND l.action = 'DECRYPT'
                   AND l.at <= r.reported_at)""",
    "a PAN has one active application in a period": """
        SELECT a.id FROM prequalification_applications a JOIN prequalification_applications b
          ON a.pan_blind_index = b.pan_blind_index AND a.id < b.id
         AND a.duplicate_period && b.duplicate_period
        WHERE a.status <> 'REJECTED' AND b.status <> 'REJECTED'""",
    "a succeeded job and its accepted offer belong together": """
        SELECT j.id FROM jobs j LEFT JOIN credit_offers o ON o.job_id = j.id
        WHERE (j.status = 'succeeded') <> (o.status IS NOT DISTINCT FROM 'accepted')
          AND j.kind = 'open_account'""",
}


async def assert_invariants(owner_url: str) -> None:
    """Fail with the broken invariant and the ids of up to five rows that break it."""
    async with connected(owner_url) as owner:
        for invariant, breach in BREACHES.items():
            rows = await owner.fetch(f"{breach} LIMIT 5")
            assert not rows, f"{invariant}: {[str(row[0]) for row in rows]}"
