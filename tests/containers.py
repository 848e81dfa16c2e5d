"""What both compose files and the Dockerfile say, and everything that may be wrong with it."""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from ecs.config import Settings
from scripts.stack import configuration
from scripts.stack.place import CHECKOUT, Place
from scripts.stack.ports import NAMES
from scripts.stack.programs import Layout, Program, all_programs
from scripts.stack.settings import application_environment

Compose = dict[str, Any]
FILES: Final = {"dev": "docker-compose.dev.yml", "prod": "docker-compose.prod.yml"}
SERVICES: Final = ("postgres", "redis", "rabbitmq")
ONE_SHOT: Final = {
    "migrate": "-m alembic upgrade head",
    "declare-streams": "-m scripts.declare_streams",
}
COMMANDS: Final = {"tools"}
# Of a profile of their own; natively `make monitoring` starts them.
MONITORING: Final = {"prometheus", "postgres-exporter", "grafana"}
# Two builds of one tag at a time fail, so one service builds the image of all.
BUILDS: Final = "migrate"
ONLY_IN: Final = {"dev": {"mailpit"}, "prod": {"nginx"}}
# The serving processes get neither: the owner's rights, and a port that compose maps.
NOT_SERVED: Final = {"DB_OWNER_URL", "APP_PORT"}
SECRETS: Final = {
    *("POSTGRES_PASSWORD", "POSTGRES_APP_PASSWORD", "POSTGRES_MONITOR_PASSWORD"),
    *("REDIS_PASSWORD", "GRAFANA_PASSWORD"),
    *("RABBITMQ_PASS", "JWT_SECRET", "CLIENT_SECRET_KEY"),
    *("ENCRYPTION_KEYS", "BLIND_INDEX_KEY", "AUDIT_SEAL_KEY", "IDEMPOTENCY_KEY", "BUREAU_KEY"),
}
STANDING_CONNECTIONS: Final = {
    "outbox-relay": "5432",
    "emotions-consumer": "5672",
    "credit-report": "5672",
    "decision": "5672",
    "audit-sealer": "5432",
    "backlog": "5432",
    "rq-accounts": "6379",
    "rq-mail": "6379",
    "rq-periodic": "6379",
    "cron": "6379",
}
# Longer than what each does at most before it ends: requests, a batch, a job, a checkpoint.
GRACE_SECONDS_MIN: Final = {
    "api": 26,
    "nginx": 31,
    "outbox-relay": 10,
    "emotions-consumer": 20,
    "credit-report": 20,
    "decision": 20,
    "audit-sealer": 10,
    "backlog": 10,
    "rq-accounts": 31,
    "rq-mail": 151,
    "rq-periodic": 61,
    "cron": 5,
    "postgres": 30,
    "redis": 10,
    "rabbitmq": 30,
    "mailpit": 5,
    "prometheus": 30,
    "postgres-exporter": 5,
    "grafana": 5,
}
# Published on this machine only.
LOOPBACK: Final = {"grafana": ["127.0.0.1:3000:3000"]}
VARIABLE: Final = re.compile(r"\$\{(\w+)(:?[-?])?([^}]*)\}")
PINNED: Final = re.compile(r"^[a-z/-]+:v?\d+\.\d+(\.\d+)?(-[a-z]+)?$")
SECONDS: Final = {"s": 1, "m": 60}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A variable that a compose file reads, with the default it has there, if any."""

    name: str
    default: str | None


def compose(kind: str) -> Compose:
    """One of the files, its anchors resolved."""
    loaded: Compose = yaml.safe_load((CHECKOUT / FILES[kind]).read_text())
    return loaded


def example() -> dict[str, str]:
    """The variables of ``.env.example``, as a shell reads them."""
    text = (CHECKOUT / ".env.example").read_text()
    found = re.findall(r"^([A-Z_]+)=(.*)$", text, flags=re.MULTILINE)
    return {name: " ".join(shlex.split(value)) for name, value in found}


def native_programs(home: Path) -> dict[str, Program]:
    """The programs of the native stack, on made-up ports."""
    ports = {name: 20_000 + offset for offset, name in enumerate(NAMES)}
    ports |= {"tools-first": 20_028, "tools-last": 20_031}
    return all_programs(Layout(place=Place(home=home, throwaway=True), ports=ports))


def native_settings(home: Path) -> dict[str, str]:
    """The settings that the native stack makes."""
    ports = {name: 20_000 + offset for offset, name in enumerate(NAMES)}
    return application_environment(Place(home=home, throwaway=True), ports)


def application_settings() -> set[str]:
    """The variables that the settings classes read."""
    found = set()
    for name, field in Settings.model_fields.items():
        group: Any = field.annotation
        if hasattr(group, "model_fields"):
            prefix = group.model_config.get("env_prefix", "")
            found |= {
                str(inner.validation_alias or f"{prefix}{key}").upper()
                for key, inner in group.model_fields.items()
            }
        else:
            found.add(name.upper())
    return found


def references(text: str) -> Iterator[Reference]:
    """Every variable that a file reads."""
    for name, operator, words in VARIABLE.findall(text):
        yield Reference(name=name, default=words if operator.endswith("-") else None)


def words_of(command: Any) -> list[str]:
    """A command of a compose file, as words without the interpreter's name."""
    words = shlex.split(command) if isinstance(command, str) else [str(word) for word in command]
    return words[1:] if words[0] == "python" else words


def seconds(duration: str) -> int:
    """A duration such as 30s or 1m."""
    return int(duration[:-1]) * SECONDS[duration[-1]]


def api_command() -> list[str]:
    """What the image starts by itself."""
    found = re.search(
        r"^CMD (\[.*?\])$", (CHECKOUT / "Dockerfile").read_text(), re.MULTILINE | re.DOTALL
    )
    assert found is not None
    words: list[str] = json.loads(found.group(1).replace("\\\n", ""))
    return words


def native_workers(programs: dict[str, Program]) -> dict[str, tuple[list[str], int]]:
    """The command of each worker, without the interpreter, and how many of it run."""
    workers: dict[str, tuple[list[str], int]] = {}
    for name, program in programs.items():
        if program.group == "application" and not name.startswith("api-"):
            kind = re.sub(r"-\d+$", "", name)
            workers[kind] = (list(program.command[1:]), workers.get(kind, ([], 0))[1] + 1)
    return workers


def process_problems(file: Compose, kind: str, programs: dict[str, Program]) -> list[str]:
    """What of the processes, their commands, queues and numbers differs from the native stack."""
    services, workers = file["services"], native_workers(programs)
    expected = {*SERVICES, *workers, *ONE_SHOT, *COMMANDS, *ONLY_IN[kind], *MONITORING, "api"}
    problems = [f"{name}: here and not there" for name in sorted(set(services) ^ expected)]
    for name, (command, count) in workers.items():
        service = services.get(name, {"command": ["nothing"]})
        if words_of(service["command"]) != command:
            problems.append(f"{name}: another command than the native stack's")
        if service.get("deploy", {}).get("replicas", 1) != count:
            problems.append(f"{name}: another number than the native stack's")
    for name, words in ONE_SHOT.items():
        if words_of(services[name]["command"]) != words.split():
            problems.append(f"{name}: another command than the native stack's")
    return problems


def settings_problems(file: Compose, kind: str, text: str) -> list[str]:
    """What of the settings differs from the classes and from ``.env.example``."""
    served = application_settings() - NOT_SERVED
    problems = []
    for name, service in file["services"].items():
        if service["image"].startswith("ecs:"):
            given = set(service["environment"]) - ({"DB_OWNER_URL"} if _owns(name) else set())
            problems += [f"{name}: {one} is here and not there" for one in sorted(given ^ served)]
    complaints = [_complaint(reference, kind) for reference in references(text)]
    return problems + [complaint for complaint in complaints if complaint]


def monitoring_problems(file: Compose) -> list[str]:
    """Who of those who watch starts unasked, and whom of the rest Prometheus does not ask."""
    services = file["services"]
    problems = [
        f"{name}: another profile"
        for name, service in services.items()
        if (service.get("profiles") == ["monitoring"]) != (name in MONITORING)
    ]
    asked = _asked()
    lasting = {"api": "8000"} | dict.fromkeys(STANDING_CONNECTIONS, "9100")
    problems += [
        f"{name}: asked elsewhere, or not at all"
        for name in sorted({*lasting, *asked})
        if lasting.get(name) != asked.get(name)
    ]
    return problems


def _asked() -> dict[str, str]:
    """Which port of which process Prometheus asks in compose."""
    jobs = yaml.safe_load((CHECKOUT / "deploy/prometheus/prometheus.yml").read_text())
    return {
        name: str(found["port"])
        for job in jobs["scrape_configs"]
        for found in job.get("dns_sd_configs", [])
        for name in found["names"]
    }


def _complaint(reference: Reference, kind: str) -> str:
    name, default = reference.name, reference.default
    if name == "ECS_USER":  # make's own, who writes into the checkout
        return ""
    if name not in example():
        return f"{name}: not in .env.example"
    if kind == "prod" and name in SECRETS and default is not None:
        return f"{name}: a default in production"
    if default not in {None, example()[name]}:
        return f"{name}: another default than elsewhere"
    return ""


def _owns(service: str) -> bool:
    return service in {"migrate", "tools"}


def hardening_problems(file: Compose) -> list[str]:
    """What a production service lacks."""
    problems = []
    for name, service in file["services"].items():
        limits = service.get("deploy", {}).get("resources", {}).get("limits", {})
        one_shot, lasting = name in ONE_SHOT, name not in {*ONE_SHOT, *COMMANDS}
        facts = {
            "root": re.fullmatch(r"[1-9]\d*:[1-9]\d*", service.get("user", "0:0")) is None,
            "writable": service.get("read_only") is not True,
            "privileges": service.get("security_opt") != ["no-new-privileges:true"],
            "capabilities": service.get("cap_drop") != ["ALL"],
            "limits": not {"memory", "cpus", "pids"} <= set(limits),
            # An engine refuses more than its machine has.
            "more processors than the smallest machine": float(limits.get("cpus", 1)) > 1,
            "logs": "max-size" not in service.get("logging", {}).get("options", {}),
            "restart": service.get("restart") != ("unless-stopped" if lasting else "no"),
            "health": lasting and "test" not in service.get("healthcheck", {}),
            "mode": "privileged" in service or "network_mode" in service or "pid" in service,
            "order": one_shot and "depends_on" not in service,
        }
        problems += [f"{name}: {fact}" for fact, is_wrong in facts.items() if is_wrong]
    return problems


def life_problems(file: Compose) -> list[str]:
    """What is wrong with how services are found healthy and how they end."""
    problems = []
    for name, service in file["services"].items():
        if name in {*ONE_SHOT, *COMMANDS}:
            continue
        if seconds(service.get("stop_grace_period", "0s")) < GRACE_SECONDS_MIN.get(name, 1):
            problems.append(f"{name}: too little time to end")
        port = STANDING_CONNECTIONS.get(name)
        expected = ["CMD", "python", "-m", "scripts.healthy", "--connected-to", port]
        if port and service.get("healthcheck", {}).get("test") != expected:
            problems.append(f"{name}: another health check than its connection")
    return problems


def image_problems(file: Compose) -> list[str]:
    """Whose image may change, and who builds our own beside the one who should."""
    problems = []
    for name, service in file["services"].items():
        is_ours = service["image"].startswith("ecs:")
        if not is_ours and not PINNED.match(service["image"]):
            problems.append(f"{name}: an image that may change")
        if ("build" in service) != (name == BUILDS):
            problems.append(f"{name}: built here and not there")
        if is_ours and service.get("pull_policy") != "never":
            problems.append(f"{name}: an image that may be pulled")
    return problems


def network_problems(file: Compose) -> list[str]:
    """Who reaches whom, or is reached from outside, and should not."""
    services, networks = file["services"], file["networks"]
    member = {name: set(service.get("networks", ["default"])) for name, service in services.items()}
    problems = [
        f"nginx reaches {name}"
        for name in (*SERVICES, "outbox-relay", "rq-accounts", *sorted(MONITORING))
        if member["nginx"] & member[name]
    ]
    problems += [
        f"{name}: published"
        for name in services
        if name != "nginx" and services[name].get("ports", []) != LOOPBACK.get(name, [])
    ]
    problems += [f"grafana reaches {name}" for name in SERVICES if member["grafana"] & member[name]]
    outside = {name for name, network in networks.items() if not (network or {}).get("internal")}
    problems += [
        f"{name}: reaches the outside"
        for name in services
        if name not in {"nginx", "rq-mail", *LOOPBACK} and member[name] & outside
    ]
    return problems + [f"{name}: nowhere" for name in services if not member[name] <= set(networks)]


def service_problems(file: Compose) -> list[str]:
    """What PostgreSQL, Redis and RabbitMQ are told otherwise than in the native stack."""
    flags = [str(word) for word in file["services"]["postgres"]["command"][1:]]
    here = dict(flag.removeprefix("-c").split("=", 1) for flag in flags)
    native = dict(re.findall(r"^(\w+) = '?(.*?)'?$", configuration.POSTGRES, re.MULTILINE))
    places = {"listen_addresses", "port", "unix_socket_directories", "log_line_prefix"}
    wanted = {name: value for name, value in native.items() if name not in places}
    wanted["shared_buffers"] = "256MB"
    return [
        f"postgres: {name}"
        for name in sorted(set(here) | set(wanted))
        if here.get(name) != wanted.get(name)
    ]


def port_problems(file: Compose, kind: str, nginx: str) -> list[str]:
    """Which port is one thing here and another there."""
    services, problems = file["services"], []
    words = words_of(services["api"].get("command", api_command()))
    port = words[words.index("--port") + 1]
    if services["api"]["healthcheck"]["test"][-2:] != ["--answers", port]:
        problems.append("api: asked at another port")
    if f"EXPOSE {port}\n" not in (CHECKOUT / "Dockerfile").read_text():
        problems.append("api: another port exposed")
    return problems + (_door_problems(services, port, nginx) if kind == "prod" else [])


def _door_problems(services: dict[str, Any], port: str, nginx: str) -> list[str]:
    inside = services["nginx"]["ports"][0].partition(":")[2]
    facts = {
        "listens elsewhere": f"listen {inside} default_server;" in nginx,
        "asks another port": f"server api:{port} resolve max_fails=0;" in nginx,
        "published elsewhere": services["nginx"]["ports"] == [f"80:{inside}"],
    }
    return [f"nginx: {fact}" for fact, is_right in facts.items() if not is_right]


def directives(text: str) -> dict[str, str]:
    """A service's configuration file: what is set to what."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {
        name: value.strip()
        for name, _, value in (re.split(r"( = | )", line, maxsplit=1) for line in lines)
    }
