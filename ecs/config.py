"""Settings, read from the environment once, by the composition root."""

import sys
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

Environment = Literal["development", "test", "production"]

SECRET_BYTES_MIN: Final = 32
# What people paste from examples and tutorials; refused in production whatever their length.
KNOWN_DEFAULTS: Final = (
    "change",
    "default",
    "develop",
    "example",
    "only-for",
    "password",
    "secret",
    "your-",
)
PLAIN_DRIVER: Final = "postgresql://"
ASYNC_DRIVER: Final = "postgresql+asyncpg://"


class SettingsError(Exception):
    """A setting is missing or unusable. The message names the variable, never its value."""


def _with_driver(url: str) -> str:
    url = url.replace("postgres://", PLAIN_DRIVER, 1) if url.startswith("postgres://") else url
    if url.startswith(PLAIN_DRIVER):
        return url.replace(PLAIN_DRIVER, ASYNC_DRIVER, 1)
    if not url.startswith(ASYNC_DRIVER):
        raise ValueError("must look like postgresql://user:password@host:5432/ecs")
    return url


DatabaseUrl = Annotated[str, AfterValidator(_with_driver)]


class JwtSettings(BaseSettings):
    """How access tokens are signed. ``JWT_SECRET`` is the key with the id (``kid``) 1."""

    model_config = SettingsConfigDict(env_prefix="JWT_", frozen=True)

    secret: SecretStr
    algorithm: Literal["HS256"] = "HS256"
    expires_seconds: int = Field(default=900, gt=0, le=86_400)
    issuer: str = "ecs"
    audience: str = "ecs-api"


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

    currency: str = Field(default="BRL", pattern=r"^[A-Z]{3}$")
    offer_expires_hours: int = Field(default=360, ge=1, le=8760)


class RabbitSettings(BaseSettings):
    """Where the event broker is."""

    model_config = SettingsConfigDict(env_prefix="RABBITMQ_", frozen=True)

    user: str = ""
    password: SecretStr = Field(default=SecretStr(""), validation_alias="RABBITMQ_PASS")
    host: str = "127.0.0.1"
    port: int = Field(default=5672, ge=1, le=65535)


class Settings(BaseSettings):
    """Everything that differs between two deployments."""

    model_config = SettingsConfigDict(frozen=True)

    environment: Environment = "production"
    debug: bool = False
    app_port: int = Field(default=8000, ge=1, le=65535)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    db_url: DatabaseUrl = Field(repr=False)
    db_owner_url: DatabaseUrl | None = Field(default=None, repr=False)
    redis_url: str = Field(pattern=r"^rediss?://.+", repr=False)
    client_secret_key: SecretStr
    jwt: JwtSettings = Field(default_factory=JwtSettings)
    features: FeatureSettings = Field(default_factory=FeatureSettings)
    credit: CreditSettings = Field(default_factory=CreditSettings)
    rabbitmq: RabbitSettings = Field(default_factory=RabbitSettings)

    @property
    def development(self) -> bool:
        """Whether errors may show their insides."""
        return self.environment != "production"

    @model_validator(mode="after")
    def refuse_weak_secrets(self) -> Self:
        """Stop a process whose secrets anybody could guess."""
        for variable, secret in (
            ("JWT_SECRET", self.jwt.secret),
            ("CLIENT_SECRET_KEY", self.client_secret_key),
        ):
            _refuse_weak(variable, secret.get_secret_value(), strict=not self.development)
        if self.debug and not self.development:
            raise SettingsError("DEBUG must be false in production.")
        return self


def _refuse_weak(variable: str, secret: str, *, strict: bool) -> None:
    advice = "make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"
    if not secret:
        raise SettingsError(f"{variable} is empty; {advice}")
    if not strict:
        return
    if len(secret.encode()) < SECRET_BYTES_MIN:
        raise SettingsError(f"{variable} is shorter than {SECRET_BYTES_MIN} bytes; {advice}")
    if len(set(secret)) < 8 or any(word in secret.lower() for word in KNOWN_DEFAULTS):  # noqa: PLR2004  (distinct characters)
        raise SettingsError(f"{variable} is a known default or too regular; {advice}")


def read_settings() -> Settings:
    """
    Return the settings of this process.

    Raises:
        SettingsError: a variable is missing or wrong; the message names it and the rule.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError("; ".join(_complaints(error))) from None


def settings_or_exit() -> Settings:
    """Return the settings of this process, or end it with the way out in one line."""
    try:
        return read_settings()
    except SettingsError as error:
        sys.exit(f"ecs: {error}")


def _complaints(error: ValidationError) -> list[str]:
    prefix = getattr(_MODELS.get(error.title), "model_config", {}).get("env_prefix", "")
    return [
        f"{_variable(prefix, item['loc'])}: {item['msg'].removeprefix('Value error, ')}"
        for item in error.errors(include_url=False, include_input=False, include_context=False)
    ]


def _variable(prefix: str, location: tuple[int | str, ...]) -> str:
    name = str(location[0]) if location else "settings"
    return name.upper() if name.upper().startswith(prefix or "\0") else f"{prefix}{name}".upper()


_MODELS: Final[dict[str, type[BaseSettings]]] = {
    model.__name__: model
    for model in (Settings, JwtSettings, FeatureSettings, CreditSettings, RabbitSettings)
}
