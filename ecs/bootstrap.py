"""The composition root: the one place that knows how the parts fit together."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from ecs.config import Settings
from ecs.domain.events import NotificationWritten, OfferAccepted
from ecs.domain.period import Window
from ecs.domain.telemetry import Measures, Traces
from ecs.integrations.bureau.guarded import GuardedBureau
from ecs.integrations.bureau.simulation import SimulatedBureau
from ecs.integrations.client_secrets import ClientSecrets
from ecs.integrations.hmacs import HmacBlindIndex, HmacDigest, HmacFingerprint
from ecs.integrations.identifiers import new_id
from ecs.integrations.mail.log_mailer import LogMailer
from ecs.integrations.mail.smtp_mailer import SmtpMailer, SmtpServer
from ecs.integrations.pan_cipher import AesGcmPanCipher
from ecs.integrations.password_hasher import PasswordHasher
from ecs.integrations.probes import answers, rabbitmq_probe, redis_probe
from ecs.integrations.risk_model_file import shipped_risk_model
from ecs.integrations.rq_publisher import RqPublisher
from ecs.integrations.system_clock import utc_now
from ecs.integrations.telemetry.outside import TracedBureau, TracedMailer
from ecs.integrations.token_signer import TokenSigner
from ecs.repositories import schema
from ecs.repositories.database import (
    REQUEST_CONNECTIONS,
    job_engine,
    open_kept_connections,
    request_engine,
    watch_pool,
)
from ecs.repositories.outbox_listener import OutboxListener
from ecs.repositories.statements import watch_statements
from ecs.repositories.unit_of_work import UnitOfWork
from ecs.services.acceptance_service import AcceptanceService
from ecs.services.audit_service import AuditService
from ecs.services.auth_service import AuthService
from ecs.services.backlog_service import BacklogService
from ecs.services.consents_service import ConsentsService
from ecs.services.credit_reports_service import CreditReportsService
from ecs.services.credit_service import CreditOfferCalculator, CreditService
from ecs.services.emotions_service import EmotionsService
from ecs.services.encryption_service import EncryptionService
from ecs.services.idempotency import Idempotency
from ecs.services.jobs_service import JobsService
from ecs.services.maintenance_service import MaintenanceService
from ecs.services.notifications_service import NotificationsService
from ecs.services.outbox_service import OutboxService
from ecs.services.ports import Bureau, GiveUp, Mailer, PanCipher, Probe, Publisher
from ecs.services.prequalification_decisions_service import PrequalificationDecisionsService
from ecs.services.prequalification_service import PrequalificationService
from ecs.services.readiness_service import ReadinessService
from ecs.services.replay_service import ReplayService
from ecs.services.transactions_service import TransactionsService
from ecs.streaming import event_publisher, queue_lengths
from ecs.telemetry import UNWATCHED, Telemetry

JOB_FUNCTIONS: Final = {
    OfferAccepted.kind: "workers.jobs.credit.open_account",
    NotificationWritten.kind: "workers.jobs.notifications.send_email",
}
ACTIVE_KEY_ID: Final = "1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """The services, ready to be called by HTTP, by workers or by scripts."""

    acceptance: AcceptanceService
    audit: AuditService
    auth: AuthService
    backlog: BacklogService
    consents: ConsentsService
    credit: CreditService
    credit_reports: CreditReportsService
    emotions: EmotionsService
    encryption: EncryptionService
    jobs: JobsService
    maintenance: MaintenanceService
    notifications: NotificationsService
    outbox: OutboxService
    prequalification: PrequalificationService
    prequalification_decisions: PrequalificationDecisionsService
    readiness: ReadinessService
    replays: ReplayService
    transactions: TransactionsService


@asynccontextmanager
async def application(
    settings: Settings,
    *,
    name: str,
    connections: int = REQUEST_CONNECTIONS,
    telemetry: Telemetry = UNWATCHED,
) -> AsyncIterator[Application]:
    """Build the application of a serving process, and take it apart again."""
    engine = request_engine(settings.db_url, name=f"ecs-{name}", connections=connections)
    watch_pool(engine, telemetry.measures)
    async with _assembled(settings, engine, telemetry) as ecs:
        await open_kept_connections(engine)
        yield ecs


@asynccontextmanager
async def job_application(
    settings: Settings, telemetry: Telemetry = UNWATCHED
) -> AsyncIterator[Application]:
    """Build the application for one job: connections live only as long as the job's loop."""
    engine = job_engine(settings.db_url, name="ecs-job")
    async with _assembled(settings, engine, telemetry) as ecs:
        yield ecs


@asynccontextmanager
async def owner_application(settings: Settings) -> AsyncIterator[Application]:
    """Build the application for an operator's command, with the owner's rights."""
    url = settings.db_owner_url or settings.db_url
    async with _assembled(settings, job_engine(url, name="ecs-owner"), UNWATCHED) as ecs:
        yield ecs


@asynccontextmanager
async def _assembled(
    settings: Settings, engine: AsyncEngine, telemetry: Telemetry
) -> AsyncIterator[Application]:
    if telemetry.begin_statement is not None:
        watch_statements(engine, telemetry.begin_statement)
    measures = telemetry.measures
    async with AsyncExitStack() as stack:
        stack.push_async_callback(engine.dispose)
        publishers = await stack.enter_async_context(_publishers(settings))
        passwords = PasswordHasher()
        stack.callback(passwords.close)
        ping_redis, redis = redis_probe(settings.redis_url)
        stack.push_async_callback(redis.aclose)
        queues = queue_lengths(settings)
        stack.push_async_callback(queues.close)
        calculator, cipher = _calculator(), _cipher(settings)
        sessions = async_sessionmaker(engine, expire_on_commit=False)
        unit_of_work = partial(UnitOfWork, sessions, trace_parent=telemetry.traces.parent)
        acceptance = AcceptanceService(unit_of_work=unit_of_work, new_id=new_id, measures=measures)
        notifications = NotificationsService(
            unit_of_work=unit_of_work, mailer=_mailer(settings, telemetry.traces), measures=measures
        )
        give_up = {
            OfferAccepted.kind: acceptance.give_up,
            NotificationWritten.kind: notifications.give_up,
        }
        yield Application(
            acceptance=acceptance,
            audit=_audit(settings, unit_of_work),
            auth=_auth(settings, unit_of_work, passwords),
            backlog=BacklogService(unit_of_work=unit_of_work, queues=queues, measures=measures),
            consents=ConsentsService(unit_of_work=unit_of_work, new_id=new_id, measures=measures),
            credit=_credit(settings, unit_of_work, calculator, measures),
            credit_reports=_credit_reports(settings, unit_of_work, cipher, telemetry),
            emotions=EmotionsService(unit_of_work=unit_of_work, now=utc_now, measures=measures),
            encryption=EncryptionService(unit_of_work=unit_of_work, cipher=cipher),
            jobs=JobsService(unit_of_work=unit_of_work),
            maintenance=MaintenanceService(unit_of_work=unit_of_work, new_id=new_id),
            notifications=notifications,
            outbox=_outbox(settings, unit_of_work, publishers, give_up, telemetry),
            prequalification=_prequalification(settings, unit_of_work, cipher, measures),
            prequalification_decisions=_prequalification_decisions(unit_of_work, measures),
            readiness=_readiness(settings, engine, ping_redis),
            replays=_replays(unit_of_work, calculator),
            transactions=_transactions(settings, unit_of_work, measures),
        )


def _outbox(
    settings: Settings,
    unit_of_work: Callable[[], UnitOfWork],
    publishers: Mapping[str, Publisher],
    give_up: Mapping[str, GiveUp],
    telemetry: Telemetry,
) -> OutboxService:
    return OutboxService(
        unit_of_work=unit_of_work,
        publishers=publishers,
        listener=OutboxListener(settings.db_url),
        give_up=give_up,
        measures=telemetry.measures,
        traces=telemetry.traces,
    )


def _prequalification_decisions(
    unit_of_work: Callable[[], UnitOfWork], measures: Measures
) -> PrequalificationDecisionsService:
    return PrequalificationDecisionsService(unit_of_work=unit_of_work, measures=measures)


def _replays(
    unit_of_work: Callable[[], UnitOfWork], calculator: CreditOfferCalculator
) -> ReplayService:
    return ReplayService(
        unit_of_work=unit_of_work, decide=calculator.decide, policy=calculator.policy
    )


def _transactions(
    settings: Settings, unit_of_work: Callable[[], UnitOfWork], measures: Measures
) -> TransactionsService:
    return TransactionsService(
        unit_of_work=unit_of_work,
        now=utc_now,
        new_id=new_id,
        measures=measures,
        currency=settings.credit.currency,
    )


@asynccontextmanager
async def _publishers(settings: Settings) -> AsyncIterator[dict[str, Publisher]]:
    async with AsyncExitStack() as stack:
        rq = RqPublisher(settings.redis_url, functions=JOB_FUNCTIONS)
        stack.callback(rq.close)
        amqp = event_publisher(settings)
        stack.push_async_callback(amqp.close)
        yield {"rq": rq, "amqp": amqp}


def _mailer(settings: Settings, traces: Traces) -> Mailer:
    if not settings.mail.smtp_url:
        return TracedMailer(mailer=LogMailer(), traces=traces)
    server = SmtpServer.at(settings.mail.smtp_url)
    mailer = SmtpMailer(server, sender=settings.mail.mail_from)
    return TracedMailer(mailer=mailer, traces=traces)


def _prequalification(
    settings: Settings,
    unit_of_work: Callable[[], UnitOfWork],
    cipher: PanCipher,
    measures: Measures,
) -> PrequalificationService:
    return PrequalificationService(
        unit_of_work=unit_of_work,
        measures=measures,
        cipher=cipher,
        blind_index=HmacBlindIndex(settings.blind_index_key.get_secret_value()),
        idempotency=Idempotency(
            fingerprint=HmacFingerprint(settings.idempotency_key.get_secret_value())
        ),
        new_id=new_id,
        test_pans=settings.test_pans,
    )


def _credit_reports(
    settings: Settings,
    unit_of_work: Callable[[], UnitOfWork],
    cipher: PanCipher,
    telemetry: Telemetry,
) -> CreditReportsService:
    return CreditReportsService(
        unit_of_work=unit_of_work,
        measures=telemetry.measures,
        cipher=cipher,
        bureau=TracedBureau(bureau=_bureau(settings), traces=telemetry.traces),
        new_id=new_id,
    )


def _cipher(settings: Settings) -> PanCipher:
    return AesGcmPanCipher(settings.encryption.keyring, settings.encryption.active_key_id)


def _bureau(settings: Settings) -> Bureau:
    key = settings.bureau.key.get_secret_value()
    return GuardedBureau(SimulatedBureau(key, behaviour=settings.bureau.simulation))


def _audit(settings: Settings, unit_of_work: Callable[[], UnitOfWork]) -> AuditService:
    digest = HmacDigest(settings.audit_seal_key.get_secret_value())
    return AuditService(unit_of_work=unit_of_work, digest=digest)


def _auth(
    settings: Settings, unit_of_work: Callable[[], UnitOfWork], passwords: PasswordHasher
) -> AuthService:
    return AuthService(
        unit_of_work=unit_of_work,
        tokens=TokenSigner(
            keyring={ACTIVE_KEY_ID: settings.jwt.secret.get_secret_value()},
            active_kid=ACTIVE_KEY_ID,
            algorithm=settings.jwt.algorithm,
            issuer=settings.jwt.issuer,
            audience=settings.jwt.audience,
        ),
        passwords=passwords,
        client_secrets=ClientSecrets(key=settings.client_secret_key.get_secret_value()),
        now=utc_now,
        new_id=new_id,
        expires_seconds=settings.jwt.expires_seconds,
    )


def _calculator() -> CreditOfferCalculator:
    model = shipped_risk_model()
    return CreditOfferCalculator(scorecard=model.scorecard, policy=model.policy)


def _credit(
    settings: Settings,
    unit_of_work: Callable[[], UnitOfWork],
    calculator: CreditOfferCalculator,
    measures: Measures,
) -> CreditService:
    return CreditService(
        unit_of_work=unit_of_work,
        measures=measures,
        calculator=calculator,
        new_id=new_id,
        money_window=Window(
            days=settings.features.transactions_last_days,
            rows_max=settings.features.transactions_limit,
        ),
        mood_window=Window(
            days=settings.features.emotional_events_period_days,
            rows_max=settings.features.emotional_events_limit,
        ),
        currency=settings.credit.currency,
        offer_lifetime=timedelta(hours=settings.credit.offer_expires_hours),
    )


def _readiness(settings: Settings, engine: AsyncEngine, ping_redis: Probe) -> ReadinessService:
    return ReadinessService(
        vital={"postgresql": _database_probe(engine)},
        others={
            "redis": ping_redis,
            "rabbitmq": rabbitmq_probe(settings.rabbitmq.host, settings.rabbitmq.port),
        },
    )


def _database_probe(engine: AsyncEngine) -> Probe:
    async def ask() -> bool:
        async with engine.connect() as connection:
            return await schema.is_current(connection)

    return lambda: answers(ask)
