"""JSON shapes of health and readiness."""

from typing import Literal

from ecs.api.schemas.common import Answer
from ecs.services.readiness_service import Readiness

UpOrDown = Literal["up", "down"]


class HealthOut(Answer):
    """The process is alive."""

    status: Literal["ok"] = "ok"


class DependenciesOut(Answer):
    """Which of the systems behind us answered."""

    postgresql: UpOrDown
    redis: UpOrDown
    rabbitmq: UpOrDown


class ReadinessOut(Answer):
    """How well this process can serve."""

    status: Readiness
    dependencies: DependenciesOut
