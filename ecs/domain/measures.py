"""Everything that is measured: each process counts what it does, and knows all the names."""

from typing import Final

from ecs.domain.consents import Purpose
from ecs.domain.credit.decision import DecisionStatus
from ecs.domain.credit.emotion_features import AbsentReason
from ecs.domain.credit.policy import RiskCategory
from ecs.domain.credit.reason_code import ReasonCode
from ecs.domain.emotions.events import Verdict as EmotionVerdict
from ecs.domain.events import DESTINATIONS, EVENTS
from ecs.domain.jobs import JobStatus
from ecs.domain.prequalification.application import LoanType, Status
from ecs.domain.streams import STREAMS
from ecs.domain.telemetry import Counter, Gauge, Histogram, Measure
from ecs.domain.transactions import Verdict as TransactionVerdict

SHORT_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
LONG_SECONDS: Final = (
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    20.0,
    60.0,
    300.0,
    3600.0,
    86400.0,
)
NONE: Final = "none"
USED: Final = "used"
UNMATCHED: Final = "unmatched"
OTHER: Final = "other"

_DESTINATIONS: Final = tuple(sorted(DESTINATIONS))
_QUEUES: Final = tuple(stream.queue for stream in STREAMS.values())
_ALL_QUEUES: Final = tuple(queue for stream in STREAMS.values() for queue in stream.queues)
_STORED_JOBS: Final = tuple(one.kind for one in EVENTS if one.destination.startswith("rq:"))
PERIODIC_JOBS: Final = ("expire_offers", "remove_expired_events", "clean_up")

# --- HTTP ---
HTTP_SECONDS: Final = Histogram(
    name="ecs_http_request_duration_seconds",
    help="How long requests took, by route template; _count is how many there were.",
    labels={"method": (), "route": (), "status": ()},
    buckets=SHORT_SECONDS,
)
# By route and status a series begins with its first answer, and no rate sees a beginning.
HTTP_ANSWERS: Final = Counter(
    name="ecs_http_answers_total",
    help="Answers by the first digit of their status, without those about our health.",
    labels={"status_class": ("1xx", "2xx", "3xx", "4xx", "5xx")},
)
HTTP_IN_PROGRESS: Final = Gauge(
    name="ecs_http_requests_in_progress", help="Requests that are being answered."
)

# --- Credit ---
CREDIT_DECISIONS: Final = Counter(
    name="ecs_credit_decisions_total",
    help="Decisions about credit. Nobody is judged, and the category is none, in a referral.",
    labels={
        "status": tuple(DecisionStatus),
        "risk_category": (*RiskCategory, NONE),
    },
)
CREDIT_REASONS: Final = Counter(
    name="ecs_credit_decision_reasons_total",
    help="Reasons given with decisions, by code (docs/credit-decision.md).",
    labels={"code": tuple(ReasonCode)},
)
CREDIT_EMOTIONS: Final = Counter(
    name="ecs_credit_decision_emotions_total",
    help="Whether emotional data took part in a decision, or why not; none: nobody was judged.",
    labels={"outcome": (USED, *AbsentReason, NONE)},
)
EMOTIONAL_FACTOR: Final = Histogram(
    name="ecs_credit_emotional_factor",
    help="By what emotional data multiplied a limit, where they took part.",
    buckets=(1.0, 1.005, 1.01, 1.02, 1.03, 1.04, 1.05, 1.06, 1.07, 1.08, 1.09, 1.1),
)
PROBABILITY_OF_DEFAULT: Final = Histogram(
    name="ecs_credit_probability_of_default",
    help="The probability of default of the people who were judged.",
    buckets=(0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0),
)
OFFERS_EXPIRED: Final = Counter(
    name="ecs_credit_offers_expired_total", help="Offers marked as expired."
)
ACCEPTANCES: Final = Counter(
    name="ecs_credit_acceptances_total", help="Offers accepted, each once."
)
ACCOUNTS: Final = Counter(
    name="ecs_credit_acceptance_outcomes_total",
    help="What acceptances came to.",
    labels={"outcome": ("account_opened", "refused", "given_up")},
)
ACCEPT_TO_ACCOUNT_SECONDS: Final = Histogram(
    name="ecs_credit_accept_to_account_seconds",
    help="From the accept to the opened account.",
    buckets=LONG_SECONDS,
)

# --- Emotions, consents, transactions ---
CONSENT_CHANGES: Final = Counter(
    name="ecs_consent_changes_total",
    help="Consents granted and withdrawn.",
    labels={"purpose": tuple(Purpose), "change": ("granted", "withdrawn")},
)
EMOTIONAL_EVENTS: Final = Counter(
    name="ecs_emotional_events_total",
    help="Emotional events taken in, by what became of them.",
    labels={"verdict": tuple(EmotionVerdict)},
)
TRANSACTIONS: Final = Counter(
    name="ecs_transactions_total",
    help="Transactions taken in, by what became of them.",
    labels={"verdict": tuple(TransactionVerdict)},
)

# --- Prequalification ---
PREQUALIFICATIONS: Final = Counter(
    name="ecs_prequalification_applications_total",
    help="Applications for prequalification that reached a status.",
    labels={"status": tuple(Status)},
)
PREQUALIFICATION_LOANS: Final = Counter(
    name="ecs_prequalification_submissions_total",
    help="Applications for prequalification that were taken in.",
    labels={"loan_type": tuple(LoanType)},
)
PREQUALIFICATION_SECONDS: Final = Histogram(
    name="ecs_prequalification_decision_seconds",
    help="From submission to the decision by rule.",
    labels={"status": tuple(one for one in Status if one is not Status.PENDING)},
    buckets=LONG_SECONDS,
)
BUREAU_SECONDS: Final = Histogram(
    name="ecs_bureau_enquiry_seconds",
    help="How long the credit bureau took, tries and waiting for a turn included.",
    labels={"outcome": ("score", "unavailable")},
    buckets=SHORT_SECONDS,
)

# --- Outbox ---
OUTBOX_PUBLISHED: Final = Counter(
    name="ecs_outbox_published_total",
    help="Outbox rows that their destination has confirmed.",
    labels={"destination": _DESTINATIONS},
)
OUTBOX_REFUSED: Final = Counter(
    name="ecs_outbox_refused_total",
    help="Outbox rows that their destination has refused; each refusal counts.",
    labels={"destination": _DESTINATIONS},
)
OUTBOX_FAILURES: Final = Counter(
    name="ecs_outbox_relay_failures_total",
    help="Rounds of the relay that ended with an error.",
    labels={"destination": _DESTINATIONS},
)
OUTBOX_SECONDS: Final = Histogram(
    name="ecs_outbox_delay_seconds",
    help="From the writing of an outbox row, or when it was due again, to its confirmation.",
    labels={"destination": _DESTINATIONS},
    buckets=LONG_SECONDS,
)

# --- Streams ---
STREAM_MESSAGES: Final = Counter(
    name="ecs_stream_messages_total",
    help="Messages handled, by what became of them; done includes those of which parts are dead.",
    labels={"queue": _QUEUES, "outcome": ("done", "postponed", "dead")},
)
STREAM_REDELIVERED: Final = Counter(
    name="ecs_stream_redelivered_total",
    help="Messages that had been delivered before.",
    labels={"queue": _QUEUES},
)
STREAM_DEAD: Final = Counter(
    name="ecs_stream_dead_letters_total",
    help="Dead letters written, by code.",
    labels={"queue": _QUEUES, "code": ()},
)
STREAM_BATCH: Final = Histogram(
    name="ecs_stream_batch_messages",
    help="How many messages a batch held.",
    labels={"queue": _QUEUES},
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500),
)
STREAM_SECONDS: Final = Histogram(
    name="ecs_stream_batch_seconds",
    help="How long a batch was handled.",
    labels={"queue": _QUEUES},
    buckets=SHORT_SECONDS,
)
STREAM_AGE_SECONDS: Final = Histogram(
    name="ecs_stream_message_age_seconds",
    help="How old messages were when they were first taken, up to a second too old, where the"
    " sender said when it sent them.",
    labels={"queue": _QUEUES},
    buckets=LONG_SECONDS,
)

# --- Jobs ---
JOB_SECONDS: Final = Histogram(
    name="ecs_job_duration_seconds",
    help="How long an attempt at a job took; failed is an attempt that raised.",
    labels={"kind": (*_STORED_JOBS, *PERIODIC_JOBS), "outcome": ("done", "failed")},
    buckets=SHORT_SECONDS,
)
JOB_FAILURES: Final = Counter(
    name="ecs_job_attempt_failures_total",
    help="Attempts that did not do the work, by what follows.",
    labels={"kind": _STORED_JOBS, "then": ("retried", "given_up")},
)
JOB_KILLED: Final = Counter(
    name="ecs_job_processes_killed_total",
    help="Processes of jobs that ended before their job did.",
    labels={"queue": ("accounts", "mail", "periodic")},
)
JOBS_REDISPATCHED: Final = Counter(
    name="ecs_jobs_redispatched_total", help="Lost jobs that the sweeper handed over again."
)
SWEEPS: Final = Counter(
    name="ecs_job_sweeps_total",
    help="Rounds of the sweeper.",
    labels={"outcome": ("done", "failed")},
)

# --- What waits; measured by one process that does none of the work (workers/backlog.py) ---
# No other process shows these. Rows that no part of this version knows are other: nobody carries
# them.
BACKLOG_UP: Final = Gauge(
    name="ecs_backlog_up",
    help="1 when the last look at what waits there succeeded; else what is shown of it is old.",
    labels={"source": ("postgresql", "rabbitmq")},
)
OUTBOX_WAITING: Final = Gauge(
    name="ecs_outbox_waiting",
    help="Outbox rows that wait to be carried.",
    labels={"destination": (*_DESTINATIONS, OTHER)},
)
OUTBOX_LAG_SECONDS: Final = Gauge(
    name="ecs_outbox_lag_seconds",
    help="For how long the oldest of them could have been carried.",
    labels={"destination": (*_DESTINATIONS, OTHER)},
)
OUTBOX_PARKED: Final = Gauge(
    name="ecs_outbox_parked",
    help="Outbox rows that were refused too often and wait for an operator.",
    labels={"destination": (*_DESTINATIONS, OTHER)},
)
JOBS_UNFINISHED: Final = Gauge(
    name="ecs_jobs_unfinished",
    help="Jobs that are not finished.",
    labels={"kind": (*_STORED_JOBS, OTHER), "status": (JobStatus.QUEUED, JobStatus.RUNNING)},
)
JOBS_OLDEST_SECONDS: Final = Gauge(
    name="ecs_jobs_oldest_unfinished_seconds",
    help="The age of the oldest unfinished job.",
    labels={"kind": (*_STORED_JOBS, OTHER)},
)
PREQUALIFICATIONS_OPEN: Final = Gauge(
    name="ecs_prequalifications_open",
    help="Applications that wait: for the rules, or for an officer.",
    labels={"status": (Status.PENDING, Status.MANUAL_REVIEW)},
)
PREQUALIFICATIONS_OLDEST_SECONDS: Final = Gauge(
    name="ecs_prequalifications_oldest_pending_seconds",
    help="The age of the oldest application that waits for the rules.",
)
AUDIT_UNSEALED_SECONDS: Final = Gauge(
    name="ecs_audit_oldest_unsealed_seconds", help="The age of the oldest audit row without a seal."
)
QUEUE_MESSAGES: Final = Gauge(
    name="ecs_queue_messages",
    help="Messages that wait in a queue of RabbitMQ (work, retries, dead letters) and are with"
    " nobody; a queue that is missing holds none.",
    labels={"queue": _ALL_QUEUES},
)
QUEUE_CONSUMERS: Final = Gauge(
    name="ecs_queue_consumers",
    help="Consumers of a stream's queue.",
    labels={"queue": _QUEUES},
)

# --- Each process ---
POOL_IN_USE: Final = Gauge(
    name="ecs_db_pool_connections_in_use", help="Connections to PostgreSQL that are in use."
)
POOL_MAX: Final = Gauge(
    name="ecs_db_pool_connections_max", help="Connections to PostgreSQL that may be in use at once."
)
LOG_LINES: Final = Counter(
    name="ecs_log_lines_total",
    help="Lines logged that want attention.",
    labels={"level": ("warning", "error", "critical")},
)
INFORMATION: Final = Gauge(
    name="ecs_info",
    help="1; the labels say which process this is and by which files it decides.",
    labels=dict.fromkeys(("service", "version", "environment", "model", "policy"), ()),
)

ALL: Final[tuple[Measure, ...]] = tuple(
    value for value in list(globals().values()) if isinstance(value, Measure)
)
