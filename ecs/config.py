"""Settings, read from the environment once, by the composition root."""

import sys
from base64 import b64encode
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Annotated, Any, Final, Literal, NoReturn, TypeVar

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from ecs.setting_types import (
    MAKE_ONE,
    CollectorUrl,
    DatabaseUrl,
    Debug,
    Key,
    KeyId,
    Keyring,
    MailAddress,
    Name,
    OwnerUrl,
    Password,
    RedisUrl,
    Rule,
    SentryDsn,
    Simulated,
    SmtpUrl,
    TestPans,
    read_keyring,
    rule_of,
    strict,
)

Environment = Literal["development", "test", "production"]
Model = TypeVar("Model", bound=BaseSettings)


class SettingsError(Exception):
    """
    Settings are missing or unusable.

    ``complaints`` are sentences: each names a variable, its rule and an example, never its value.
    """

    def __init__(self, complaints: Iterable[str]) -> None:
        self.complaints = tuple(dict.fromkeys(complaints))
        super().__init__("\n".join(self.complaints))


class JwtSettings(BaseSettings):
    """How access tokens are signed. ``JWT_SECRET`` is the key with the id (``kid``) 1."""

    model_config = SettingsConfigDict(env_prefix="JWT_", frozen=True)

    secret: Key
    expires_seconds: int = Field(default=900, ge=1, le=86_400)
    algorithm: Literal["HS256"] = "HS256"
    issuer: Name = "ecs"
    audience: Name = "ecs-api"


class FeatureSettings(BaseSettings):
    """The windows that the decision looks at; both limits bound the newest rows taken."""

    model_config = SettingsConfigDict(env_prefix="FEATURE_ENGINEERING_", frozen=True)

    transactions_last_days: int = Field(default=30, ge=2, le=365)
    transactions_limit: int = Field(default=1000, ge=10, le=10_000)
    emotional_events_period_days: int = Field(default=7, ge=1, le=30)
    emotional_events_limit: int = Field(default=50, ge=1, le=1000)


class CreditSettings(BaseSettings):
    """What one deployment offers: a single currency, and how long an offer stands."""

    model_config = SettingsConfigDict(env_prefix="CREDIT_", frozen=True)

    currency: Annotated[str, Rule(must="an ISO 4217 code, three capital letters")] = Field(
        default="BRL", pattern=r"^[A-Z]{3}$"
    )
    offer_expires_hours: int = Field(default=360, ge=1, le=8760)


class RabbitSettings(BaseSettings):
    """Where the event broker is."""

    model_config = SettingsConfigDict(env_prefix="RABBITMQ_", frozen=True)

    user: Name = "ecs"
    password: Password = Field(
        default=SecretStr(""), validation_alias="RABBITMQ_PASS", validate_default=True
    )
    host: Name = "127.0.0.1"
    port: int = Field(default=5672, ge=1, le=65535)


class EncryptionSettings(BaseSettings):
    """The keys that PANs are encrypted with, and which of them encrypts now."""

    model_config = SettingsConfigDict(env_prefix="ENCRYPTION_", frozen=True)

    keys: Keyring
    active_key_id: KeyId

    @field_validator("active_key_id")
    @classmethod
    def _is_in_keyring(cls, key_id: str, info: ValidationInfo) -> str:
        keys = info.data.get("keys")  # Not there when it was refused: that is said by itself.
        if keys is not None and key_id not in read_keyring(keys.get_secret_value()):
            raise PydanticCustomError("unknown_key", "no key in ENCRYPTION_KEYS has this id")
        return key_id

    @property
    def keyring(self) -> dict[str, bytes]:
        """Every key by its id."""
        return read_keyring(self.keys.get_secret_value())


class BureauSettings(BaseSettings):
    """The simulated credit bureau."""

    model_config = SettingsConfigDict(env_prefix="BUREAU_", frozen=True)

    key: Key
    simulation: Simulated = "answers"


class MailSettings(BaseSettings):
    """How e-mail leaves, if at all."""

    model_config = SettingsConfigDict(frozen=True)

    smtp_url: SmtpUrl = Field(default="", repr=False)
    mail_from: MailAddress = "Empathic Credit <no-reply@ecs.localhost>"


class MetricsSettings(BaseSettings):
    """Whether anything is measured, and where a worker shows it; the API does on its own port."""

    model_config = SettingsConfigDict(env_prefix="METRICS_", frozen=True)

    enabled: Annotated[bool, Rule(must="true or false")] = True
    host: Name = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)


class TelemetrySettings(BaseSettings):
    """Who is told of errors and of traces, if anybody."""

    model_config = SettingsConfigDict(frozen=True)

    sentry_dsn: SentryDsn = Field(default="", repr=False)
    otel_exporter_otlp_endpoint: CollectorUrl = ""


class Settings(BaseSettings):
    """
    Everything that differs between two deployments.

    The groups read variables of their own; ``NoDecode`` keeps a shell's ``MAIL`` or ``CREDIT`` out.
    """

    model_config = SettingsConfigDict(frozen=True)

    environment: Environment = "production"
    debug: Debug = False
    app_port: int = Field(default=8000, ge=1, le=65535)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    db_url: DatabaseUrl = Field(repr=False)
    db_owner_url: OwnerUrl = Field(default=None, repr=False)
    redis_url: RedisUrl = Field(repr=False)
    client_secret_key: Key
    blind_index_key: Key
    audit_seal_key: Key
    idempotency_key: Key
    prequalification_test_pans: TestPans = ""
    jwt: Annotated[JwtSettings, NoDecode] = Field(default_factory=JwtSettings)
    features: Annotated[FeatureSettings, NoDecode] = Field(default_factory=FeatureSettings)
    credit: Annotated[CreditSettings, NoDecode] = Field(default_factory=CreditSettings)
    rabbitmq: Annotated[RabbitSettings, NoDecode] = Field(default_factory=RabbitSettings)
    encryption: Annotated[EncryptionSettings, NoDecode] = Field(default_factory=EncryptionSettings)
    bureau: Annotated[BureauSettings, NoDecode] = Field(default_factory=BureauSettings)
    mail: Annotated[MailSettings, NoDecode] = Field(default_factory=MailSettings)
    metrics: Annotated[MetricsSettings, NoDecode] = Field(default_factory=MetricsSettings)
    telemetry: Annotated[TelemetrySettings, NoDecode] = Field(default_factory=TelemetrySettings)

    @property
    def development(self) -> bool:
        """Whether errors may show their insides."""
        return self.environment != "production"

    @property
    def test_pans(self) -> frozenset[str]:
        """PANs that are taken whatever their fourth letter; none in production."""
        return frozenset(filter(None, self.prequalification_test_pans.split(",")))

    @property
    def keys(self) -> dict[str, SecretStr]:
        """Every key for one purpose, by its variable; the keyring of PANs is not among them."""
        return {
            "JWT_SECRET": self.jwt.secret,
            "CLIENT_SECRET_KEY": self.client_secret_key,
            "BLIND_INDEX_KEY": self.blind_index_key,
            "AUDIT_SEAL_KEY": self.audit_seal_key,
            "IDEMPOTENCY_KEY": self.idempotency_key,
            "BUREAU_KEY": self.bureau.key,
        }


class MigrationSettings(BaseSettings):
    """Where migrations go: the owner's URL, or the only one there is."""

    model_config = SettingsConfigDict(frozen=True)

    db_owner_url: OwnerUrl = Field(default=None, repr=False)
    db_url: DatabaseUrl | None = Field(default=None, repr=False)


class Stage(BaseSettings):
    """What is read before the rest, because it decides how strict the rules are."""

    model_config = SettingsConfigDict(frozen=True)

    environment: Environment | None = None

    @classmethod
    def is_production(cls, *, unless_said: bool) -> bool:
        """Return whether this is production; what cannot be read counts as that."""
        try:
            said = cls().environment
        except ValidationError:
            return True
        return unless_said if said is None else said == "production"


GROUPS: Final[dict[str, type[BaseSettings]]] = {
    name: field.annotation
    for name, field in Settings.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseSettings)
}


def read_settings() -> Settings:
    """
    Return the settings of this process.

    Raises:
        SettingsError: variables are missing or wrong; each of them has its complaint.
    """
    with strict(Stage.is_production(unless_said=True)):
        read = {name: _read(group) for name, group in GROUPS.items()}
        # An unreadable group is replaced, so that everything else is looked at all the same.
        groups = {
            name: group or GROUPS[name].model_construct() for name, (group, _) in read.items()
        }
        settings, complaints = _read(Settings, **groups)
    complaints += chain.from_iterable(said for _, said in read.values())
    if settings is None or complaints:
        raise SettingsError(complaints)
    if not settings.development and (shared := list(_shared_keys(settings))):
        raise SettingsError(shared)
    return settings


def settings_or_exit() -> Settings:
    """Return the settings of this process, or end it with the way out: a line for each mistake."""
    try:
        return read_settings()
    except SettingsError as error:
        _exit(error.complaints)


def migration_url_or_exit() -> tuple[str, str | None]:
    """Return the owner's database URL and the application's, if known; or end the process."""
    with strict(Stage.is_production(unless_said=False)):
        found, complaints = _read(MigrationSettings)
    if found is None:
        _exit(complaints)
    owner = found.db_owner_url or found.db_url
    if owner is None:
        _exit([_missing("DB_OWNER_URL", rule_of(MigrationSettings.model_fields["db_owner_url"]))])
    return owner, found.db_url


def _shared_keys(settings: Settings) -> Iterator[str]:
    """Complain of keys with two purposes: whoever learns one of them would hold both."""
    ring = settings.encryption.keyring.values()
    first_use = {b64encode(key).decode(): "ENCRYPTION_KEYS" for key in ring}
    for variable, key in settings.keys.items():
        first = first_use.setdefault(key.get_secret_value(), variable)
        if first != variable:
            yield (
                f"{variable} must be a key of its own, e.g. what this prints: {MAKE_ONE}"
                f" ({first} holds the same)"
            )


def _exit(complaints: Iterable[str]) -> NoReturn:
    sys.exit("\n".join(f"ecs: {complaint}" for complaint in complaints))


def _read(model: type[Model], **groups: Any) -> tuple[Model | None, list[str]]:
    try:
        return model(**groups), []
    except ValidationError as error:
        return None, [_complaint(model, item) for item in error.errors(include_input=False)]


def _complaint(model: type[BaseSettings], item: ErrorDetails) -> str:
    prefix = model.model_config.get("env_prefix", "")
    said = str(item["loc"][0]).upper()
    name, variable = next(
        (name, variable)
        for name, field in model.model_fields.items()
        for variable in [str(field.validation_alias or f"{prefix}{name}").upper()]
        if said in {name.upper(), variable}
    )
    rule = rule_of(model.model_fields[name])
    if item["type"] == "missing":
        return _missing(variable, rule)
    # Only these reasons are our own words; the library's may quote the value.
    reason = f" ({item['msg']})" if item["type"] in {"weak", "url", "unknown_key"} else ""
    return f"{variable} must be {rule.must}, e.g. {rule.example}{reason}"


def _missing(variable: str, rule: Rule) -> str:
    return f"{variable} is missing: it must be {rule.must}, e.g. {rule.example}"
