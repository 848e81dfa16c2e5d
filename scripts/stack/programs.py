"""The programs of a stack: what runs, where, as whom, and what it must wait for."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Literal

from scripts.stack import answers, settings, system
from scripts.stack.place import CHECKOUT, Place
from scripts.stack.ports import WORKERS

Group = Literal["services", "application", "door", "monitoring"]
API_NAMES: Final = ("api-1", "api-2")
SERVICE_NAMES: Final = ("postgres", "redis", "epmd", "rabbitmq", "mail-sink")
# Started by `make monitoring` only.
MONITORING_NAMES: Final = ("postgres-exporter", "prometheus")
# Started with TRACES=1 only.
TRACE_SINK: Final = "trace-sink"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One program under supervisor. ``group`` decides when it stops: the door first."""

    name: str
    group: Group
    command: tuple[str, ...]
    stop_signal: str = "TERM"
    stop_seconds: int = 8
    environment: dict[str, str] = field(default_factory=dict, repr=False)
    needs: tuple[str, ...] = ()
    as_postgres: bool = False
    in_checkout: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A place with its ports: all that the programs' commands and files are derived from."""

    place: Place
    ports: dict[str, int]

    def path(self, program: str, file: str) -> str:
        """Return the path of a file in a program's folder."""
        return str(self.place.home / program / file)

    def is_answering(self, program: str) -> bool:
        """Return whether a program that listens does answer; the others always do."""
        return self._question(program)()

    def _question(self, program: str) -> Callable[[], bool]:
        ports = self.ports
        questions: dict[str, Callable[[], bool]] = {
            "redis": partial(answers.redis, ports["redis"]),
            "rabbitmq": partial(answers.rabbitmq, ports["amqp"]),
            "epmd": partial(answers.listens, ports["epmd"]),
            "mail-sink": partial(answers.listens, ports["smtp"]),
            TRACE_SINK: partial(answers.listens, ports["otlp"]),
            "nginx": partial(answers.listens, ports["http"]),
            "api-1": partial(answers.listens, ports["api-1"]),
            "api-2": partial(answers.listens, ports["api-2"]),
            "postgres-exporter": partial(answers.listens, ports["postgres-exporter"]),
            "prometheus": partial(answers.listens, ports["prometheus"]),
        }
        if program == "postgres":
            pg_isready = system.postgres_program("pg_isready")
            return partial(answers.postgres, ports["postgres"], pg_isready=pg_isready)
        return questions.get(program, lambda: True)


def all_programs(layout: Layout) -> dict[str, Program]:
    """Return every program by name, in the order in which they start."""
    listed = [
        *(*_services(layout), *_application(layout), _nginx(layout)),
        *(_postgres_exporter(layout), _prometheus(layout)),
    ]
    return {program.name: program for program in listed}


def program_names() -> tuple[str, ...]:
    """Return the names of all that starts by itself, in the order in which it does."""
    return (
        *SERVICE_NAMES,
        *API_NAMES,
        *("outbox-relay", "emotions-consumer"),
        *("credit-report", "decision", "audit-sealer", "backlog"),
        *("rq-accounts-1", "rq-accounts-2", "rq-mail", "rq-periodic", "cron", "nginx"),
    )


def clean_environment(layout: Layout, program: Program) -> dict[str, str]:
    """Return the whole environment of a program: nothing leaks in from the terminal."""
    folder = layout.place.home / program.name
    return {
        "PATH": f"{Path(sys.executable).parent}:{system.SEARCH_PATH}",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "STACK_ID": layout.place.stack_id,
        "STACK_PROGRAM": program.name,
        **program.environment,
    }


def _services(layout: Layout) -> list[Program]:
    brokers = [_redis(layout), _epmd(layout), _rabbitmq(layout)]
    return [_postgres(layout), *brokers, _mail_sink(layout), _trace_sink(layout)]


def _postgres(layout: Layout) -> Program:
    return Program(
        name="postgres",
        group="services",
        command=(system.postgres_program("postgres"), "-D", layout.path("postgres", "data")),
        stop_signal="INT",  # A fast shutdown: TERM would wait for every client.
        as_postgres=os.getuid() == 0,
    )


def _redis(layout: Layout) -> Program:
    server = system.find("redis-server") or "redis-server"
    return Program(
        name="redis", group="services", command=(server, layout.path("redis", "redis.conf"))
    )


def _epmd(layout: Layout) -> Program:
    return Program(
        name="epmd",
        group="services",
        command=(
            *(system.find("epmd") or "epmd", "-port", str(layout.ports["epmd"])),
            *("-address", "127.0.0.1", "-relaxed_command_check"),
        ),
    )


def _rabbitmq(layout: Layout) -> Program:
    home = layout.place.home / "rabbitmq"
    ports = layout.ports
    private = {
        "CONFIG_FILE": "rabbitmq.conf",
        "ADVANCED_CONFIG_FILE": "advanced.config",
        "CONFIG_FILES": "conf.d",
        "CONF_ENV_FILE": "rabbitmq-env.conf",
        "ENABLED_PLUGINS_FILE": "enabled_plugins",
        "MNESIA_BASE": "mnesia",
        "LOG_BASE": "log",
        "GENERATED_CONFIG_DIR": "generated",
        "SCHEMA_DIR": "schema",
        "PLUGINS_EXPAND_DIR": "plugins",
    }
    return Program(
        name="rabbitmq",
        group="services",
        command=(system.RABBITMQ,),
        needs=("epmd",),
        environment={
            **{f"RABBITMQ_{name}": str(home / file) for name, file in private.items()},
            "RABBITMQ_NODENAME": f"s{layout.place.seed:08x}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(ports["amqp"]),
            "RABBITMQ_DIST_PORT": str(ports["rabbitmq"]),
            "RABBITMQ_CTL_DIST_PORT_MIN": str(ports["tools-first"]),
            "RABBITMQ_CTL_DIST_PORT_MAX": str(ports["tools-last"]),
            "RABBITMQ_LOGS": "-",
            "ERL_EPMD_PORT": str(ports["epmd"]),
            # Otherwise Erlang starts an epmd of its own, which outlives everything.
            "ERL_FLAGS": "-start_epmd false",
            "ERL_CRASH_DUMP_SECONDS": "0",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +A 16"
            ),
            # The script then becomes the broker instead of a shell that waits for it.
            "RUNNING_UNDER_SYSTEMD": "true",
        },
    )


def _mail_sink(layout: Layout) -> Program:
    return Program(
        name="mail-sink",
        group="services",
        command=(
            *(sys.executable, "-m", "scripts.stack.mail_sink"),
            *("--port", str(layout.ports["smtp"]), "--folder", str(layout.place.mail)),
        ),
        environment={"PYTHONUNBUFFERED": "1"},
        in_checkout=True,
    )


def _trace_sink(layout: Layout) -> Program:
    return Program(
        name=TRACE_SINK,
        group="services",
        command=(
            *(sys.executable, "-m", "scripts.stack.trace_sink"),
            *("--port", str(layout.ports["otlp"]), "--folder", str(layout.place.traces)),
        ),
        environment={"PYTHONUNBUFFERED": "1"},
        in_checkout=True,
    )


def _application(layout: Layout) -> list[Program]:
    environment = settings.application_environment(layout.place, layout.ports)
    python = partial(_python, layout, environment=environment | {"PYTHONUNBUFFERED": "1"})
    api = "-m ecs.api --host 127.0.0.1 --forwarded-allow-ips 127.0.0.1 --port"
    database, both, broker = ("postgres",), ("postgres", "redis"), ("postgres", "rabbitmq")
    return [
        python("api-1", f"{api} {layout.ports['api-1']}", needs=()),
        python("api-2", f"{api} {layout.ports['api-2']}", needs=()),
        python("outbox-relay", "-m workers.outbox_relay", needs=database),
        python("emotions-consumer", "-m workers.emotions_consumer", needs=broker),
        python("credit-report", "-m workers.credit_report", needs=broker),
        python("decision", "-m workers.decision", needs=broker),
        python("audit-sealer", "-m workers.audit_sealer", needs=database),
        python("backlog", "-m workers.backlog", needs=database),
        python("rq-accounts-1", "-m workers.rq_worker accounts", needs=both),
        python("rq-accounts-2", "-m workers.rq_worker accounts", needs=both),
        python("rq-mail", "-m workers.rq_worker mail", needs=both),
        python("rq-periodic", "-m workers.rq_worker periodic", needs=both),
        python("cron", "-m workers.cron", needs=("redis",)),
    ]


def _python(
    layout: Layout, name: str, words: str, *, environment: dict[str, str], needs: tuple[str, ...]
) -> Program:
    if name in WORKERS:  # The API shows its measures on the port it serves on.
        environment = environment | {"METRICS_PORT": str(layout.ports[name])}
    return Program(
        name=name,
        group="application",
        command=(sys.executable, *words.split()),
        environment=environment,
        needs=needs,
        in_checkout=True,
        stop_seconds=_stop_seconds(words),
    )


def _stop_seconds(words: str) -> int:
    """Return more than a job may run or an answer may take: nothing in hand is cut off."""
    if words.endswith("rq_worker mail"):
        return 160
    return 45 if "rq_worker" in words else 30


def _nginx(layout: Layout) -> Program:
    folder = str(layout.place.home / "nginx")
    return Program(
        name="nginx",
        group="door",
        command=(
            *(system.find("nginx") or "nginx", "-p", folder, "-e", "stderr"),
            *("-c", layout.path("nginx", "nginx.conf")),
        ),
        stop_signal="QUIT",
        stop_seconds=30,
    )


def _postgres_exporter(layout: Layout) -> Program:
    password, port = layout.place.secrets()["monitor"], layout.ports["postgres"]
    url = settings.database_url(settings.MONITOR, password, port)
    return Program(
        name="postgres-exporter",
        group="monitoring",
        command=(
            system.find("prometheus-postgres-exporter") or "prometheus-postgres-exporter",
            f"--web.listen-address=127.0.0.1:{layout.ports['postgres-exporter']}",
            f"--extend.query-path={CHECKOUT / 'deploy/prometheus/postgres_queries.yml'}",
            "--log.level=warn",
        ),
        environment={"DATA_SOURCE_NAME": f"{url}?sslmode=disable"},
        needs=("postgres",),
    )


def _prometheus(layout: Layout) -> Program:
    return Program(
        name="prometheus",
        group="monitoring",
        command=(
            system.find("prometheus") or "prometheus",
            f"--config.file={layout.path('prometheus', 'prometheus.yml')}",
            f"--storage.tsdb.path={layout.path('prometheus', 'data')}",
            "--storage.tsdb.retention.time=7d",
            "--storage.tsdb.retention.size=512MB",
            f"--web.listen-address=127.0.0.1:{layout.ports['prometheus']}",
            "--log.level=warn",
        ),
    )


def working_folder(layout: Layout, program: Program) -> Path:
    """Return where a program stands: the code in the checkout, services in their folders."""
    return CHECKOUT if program.in_checkout else layout.place.home / program.name
