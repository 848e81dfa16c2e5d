"""The image and the compose files: well-formed, hardened, the same system as the native stack."""

import copy
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from ecs.config import Settings
from scripts.stack import configuration
from scripts.stack.place import CHECKOUT
from tests import containers
from tests.containers import FILES, Compose, compose
from workers.rq_worker import QUEUES

BIN: Final = Path(sys.executable).parent
NGINX: Final = (CHECKOUT / "nginx" / "nginx.conf").read_text()
KINDS: Final = pytest.mark.parametrize("kind", FILES)
Change = Callable[[dict[str, Any]], object]
# What makes a working container file wrong, and what is then said.
VIOLATIONS: Final[dict[str, tuple[Change, str]]] = {
    "process missing": (lambda s: s.pop("rq-mail"), "rq-mail: here and not there"),
    "process unknown": (lambda s: s.update(extra=dict(s["cron"])), "extra: here and not there"),
    "other queue": (
        lambda s: s["rq-mail"].update(command=["python", "-m", "workers.rq_worker", "mails"]),
        "rq-mail: another command",
    ),
    "other number": (
        lambda s: s["rq-accounts"]["deploy"].update(replicas=1),
        "rq-accounts: another number",
    ),
    "other script": (
        lambda s: s["declare-streams"].update(command=["python", "-m", "scripts.seed_dev"]),
        "declare-streams: another command",
    ),
    "setting missing": (
        lambda s: s["cron"]["environment"].pop("SMTP_URL"),
        "cron: SMTP_URL is here and not there",
    ),
    "setting unknown": (
        lambda s: s["api"]["environment"].update(COLOUR="red"),
        "api: COLOUR is here and not there",
    ),
    "owner's rights": (
        lambda s: s["api"]["environment"].update(DB_OWNER_URL="x"),
        "api: DB_OWNER_URL is here and not there",
    ),
    "root": (lambda s: s["redis"].pop("user"), "redis: root"),
    "named root": (lambda s: s["redis"].update(user="0:0"), "redis: root"),
    "writable": (lambda s: s["api"].update(read_only=False), "api: writable"),
    "capabilities": (lambda s: s["nginx"].update(cap_drop=["NET_RAW"]), "nginx: capabilities"),
    "privileges": (lambda s: s["cron"].pop("security_opt"), "cron: privileges"),
    "privileged": (lambda s: s["cron"].update(privileged=True), "cron: mode"),
    "limits": (
        lambda s: s["postgres"]["deploy"]["resources"]["limits"].pop("memory"),
        "postgres: limits",
    ),
    "processors": (
        lambda s: s["postgres"]["deploy"]["resources"]["limits"].update(cpus="1.50"),
        "postgres: more processors",
    ),
    "built twice": (lambda s: s["api"].update(build="."), "api: built here"),
    "built nowhere": (lambda s: s["migrate"].pop("build"), "migrate: built here and not there"),
    "pulled": (lambda s: s["cron"].pop("pull_policy"), "cron: an image that may be pulled"),
    "logs": (lambda s: s["rabbitmq"].pop("logging"), "rabbitmq: logs"),
    "restart": (lambda s: s["outbox-relay"].update(restart="no"), "outbox-relay: restart"),
    "restart of a one-shot": (lambda s: s["migrate"].update(restart="always"), "migrate: restart"),
    "health": (lambda s: s["rq-mail"].pop("healthcheck"), "rq-mail: health"),
    "other health": (
        lambda s: s["cron"]["healthcheck"].update(test=["CMD", "true"]),
        "cron: another health check",
    ),
    "grace": (lambda s: s["api"].update(stop_grace_period="10s"), "api: too little time"),
    "image": (lambda s: s["redis"].update(image="redis:latest"), "redis: an image that may"),
    "network": (lambda s: s["nginx"]["networks"].append("data"), "nginx reaches postgres"),
    "grafana published": (
        lambda s: s["grafana"].update(ports=["3000:3000"]),
        "grafana: published",
    ),
    "grafana's network": (
        lambda s: s["grafana"]["networks"].append("data"),
        "grafana reaches postgres",
    ),
    "watched unasked": (lambda s: s["prometheus"].pop("profiles"), "prometheus: another profile"),
    "watched from outside": (
        lambda s: s["nginx"]["networks"].append("watch"),
        "nginx reaches prometheus",
    ),
    "published": (lambda s: s["postgres"].update(ports=["5432:5432"]), "postgres: published"),
    "outside": (lambda s: s["api"]["networks"].append("edge"), "api: reaches the outside"),
    "nowhere": (lambda s: s["cron"].update(networks=["mars"]), "cron: nowhere"),
    "flag": (lambda s: s["postgres"]["command"].append("-cfsync=off"), "postgres: fsync"),
    "asked port": (
        lambda s: s["api"]["healthcheck"].update(test=["x", "--answers", "9000"]),
        "api: asked at another port",
    ),
    "door": (lambda s: s["nginx"].update(ports=["80:80"]), "nginx: listens elsewhere"),
}


def problems(file: Compose, kind: str, home: Path) -> list[str]:
    """Everything that is wrong with a compose file."""
    text = (CHECKOUT / FILES[kind]).read_text()
    found = [
        *containers.process_problems(file, kind, containers.native_programs(home)),
        *containers.settings_problems(file, kind, text),
        *containers.life_problems(file),
        *containers.image_problems(file),
        *containers.service_problems(file),
        *containers.port_problems(file, kind, NGINX),
        *containers.monitoring_problems(file),
    ]
    if kind == "prod":
        found += [*containers.hardening_problems(file), *containers.network_problems(file)]
    return found


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home of a stack that never runs."""
    return tmp_path


class TestWords:
    def test_compose_files_follow_the_schema(self) -> None:
        command = [str(BIN / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec"]
        checked = subprocess.run(
            [*command, *FILES.values()], cwd=CHECKOUT, capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stdout

    def test_the_schema_is_no_formality(self, tmp_path: Path) -> None:
        file = compose("prod")
        file["services"]["api"]["restarts"] = "always"
        (tmp_path / "compose.yml").write_text(yaml.safe_dump(file))
        command = [str(BIN / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec"]
        checked = subprocess.run(
            [*command, str(tmp_path / "compose.yml")], capture_output=True, text=True, check=False
        )
        assert checked.returncode != 0
        assert "restarts" in checked.stdout

    @pytest.mark.parametrize(("line", "code"), [("", 0), ("RUN cd /tmp\nUSER root\n", 1)])
    def test_the_dockerfile_is_clean(self, line: str, code: int) -> None:
        checked = subprocess.run(
            [BIN / "hadolint", "--failure-threshold", "info", "-"],
            input=(CHECKOUT / "Dockerfile").read_text() + line,
            capture_output=True,
            text=True,
            check=False,
        )
        assert checked.returncode == code, checked.stdout

    def test_no_ignored_rule_of_the_dockerfile_lacks_a_reason(self) -> None:
        text = (CHECKOUT / "Dockerfile").read_text()
        assert [line for line in re.findall(r".*hadolint ignore.*", text) if "(" not in line] == []


class TestTheSameSystem:
    @KINDS
    def test_nothing_differs_from_the_native_stack_and_the_example(
        self, kind: str, home: Path
    ) -> None:
        assert problems(compose(kind), kind, home) == []

    @pytest.mark.parametrize("violation", VIOLATIONS)
    def test_each_violation_is_noticed(self, violation: str, home: Path) -> None:
        change, complaint = VIOLATIONS[violation]
        # A copy without shared parts: an anchor's change would spread.
        file = {name: copy.deepcopy(part) for name, part in compose("prod").items()}
        file["services"] = {
            name: yaml.safe_load(yaml.safe_dump(service))
            for name, service in file["services"].items()
        }
        change(file["services"])
        found = problems(file, "prod", home)
        assert [problem for problem in found if problem.startswith(complaint)]

    @pytest.mark.parametrize(
        ("line", "complaint"),
        [
            ("${COLOUR:-red}", "COLOUR: not in .env.example"),
            ("${JWT_SECRET:-x}", "JWT_SECRET: a default in production"),
            ("${JWT_EXPIRES_SECONDS:-901}", "JWT_EXPIRES_SECONDS: another default"),
        ],
    )
    def test_each_wrong_reference_is_noticed(self, line: str, complaint: str) -> None:
        found = containers.settings_problems(compose("prod"), "prod", line)
        assert [problem for problem in found if problem.startswith(complaint)]

    def test_every_queue_has_its_worker(self) -> None:
        for kind in FILES:
            commands = [s.get("command") or [] for s in compose(kind)["services"].values()]
            queues = {c[3] for c in commands if "workers.rq_worker" in c}
            assert queues == set(QUEUES)

    def test_the_image_starts_the_api_as_the_native_stack_does(self, tmp_path: Path) -> None:
        native = containers.native_programs(tmp_path)["api-1"]
        where = {"--host", "--port", "--forwarded-allow-ips"}
        for command in (containers.api_command(), list(native.command)):
            assert command[1:3] == ["-m", "ecs.api"]
            assert set(command[3::2]) == where  # All else is said once, in ecs/api/__main__.py.
        assert "command" not in compose("prod")["services"]["api"]

    def test_the_image_knows_its_own_port_by_one_name(self) -> None:
        text = (CHECKOUT / "Dockerfile").read_text()
        assert set(re.findall(r"(?:EXPOSE |port\", \"|answers\", \")(\d+)", text)) == {"8000"}

    def test_three_instances_serve_in_production(self) -> None:
        assert compose("prod")["services"]["api"]["deploy"]["replicas"] == 3

    def test_development_publishes_on_loopback_only(self) -> None:
        published = {
            name: service["ports"]
            for name, service in compose("dev")["services"].items()
            if "ports" in service
        }
        assert published == {
            "postgres": ["127.0.0.1:${POSTGRES_PORT:-5432}:5432"],
            "rabbitmq": ["127.0.0.1:${RABBITMQ_PORT:-5672}:5672"],
            "api": ["127.0.0.1:${APP_PORT:-8000}:8000"],
            "mailpit": ["127.0.0.1:8025:8025"],
            "prometheus": ["127.0.0.1:9090:9090"],
            "grafana": ["127.0.0.1:3000:3000"],
        }

    @KINDS
    def test_no_process_starts_before_the_schema_and_the_queues(self, kind: str) -> None:
        for name, service in compose(kind)["services"].items():
            if service["image"].startswith("ecs:") and name not in containers.ONE_SHOT:
                for first in containers.ONE_SHOT:
                    condition = service["depends_on"][first]["condition"]
                    assert condition == "service_completed_successfully"

    def test_redis_is_told_the_same_as_in_the_native_stack(self) -> None:
        native = containers.directives(configuration.REDIS)
        here = containers.directives((CHECKOUT / "deploy/redis/redis.conf").read_text())
        of_the_place = {"bind", "port", "dir", "requirepass", "daemonize", "supervised"}
        assert here == {
            name: value
            for name, value in native.items()
            if name not in {*of_the_place, "set-proc-title"}
        }

    def test_rabbitmq_is_told_nothing_else_than_in_the_native_stack(self) -> None:
        native = containers.directives(configuration.RABBITMQ)
        here = containers.directives((CHECKOUT / "deploy/rabbitmq/20-ecs.conf").read_text())
        of_the_place = {name for name in here if name.endswith(".absolute")}
        assert of_the_place == {"vm_memory_high_watermark.absolute", "disk_free_limit.absolute"}
        assert {name: here[name] for name in set(here) - of_the_place}.items() <= native.items()

    def test_rabbitmq_stops_publishers_before_its_container_runs_out_of_memory(self) -> None:
        here = containers.directives((CHECKOUT / "deploy/rabbitmq/20-ecs.conf").read_text())
        limits = compose("prod")["services"]["rabbitmq"]["deploy"]["resources"]["limits"]
        assert limits["memory"] == "1G"
        watermark = here["vm_memory_high_watermark.absolute"]
        assert int(watermark.removesuffix("MiB")) <= 1024 // 2

    def test_nginx_balances_as_in_the_native_stack(self) -> None:
        def balancing(text: str) -> set[str]:
            upstream = re.search(r"upstream api \{+\n(.*?)\}", text, re.DOTALL)
            assert upstream is not None
            lines = {line.strip() for line in upstream.group(1).splitlines()}
            return {line for line in lines if not line.startswith(("server", "zone", "#"))}

        native = configuration.NGINX.replace("{first}", "1").replace("{second}", "2")
        assert balancing(NGINX) == balancing(native)
        assert "max_fails=0" in native

    def test_nginx_finds_a_replaced_instance_and_is_new_enough_for_it(self) -> None:
        assert "resolver 127.0.0.11 valid=2s" in NGINX
        image = compose("prod")["services"]["nginx"]["image"]
        version = re.search(r":(\d+)\.(\d+)\.(\d+)", image)
        assert version is not None
        assert tuple(map(int, version.groups())) >= (1, 27, 3)

    def test_nginx_mounts_every_file_that_it_includes(self) -> None:
        mounted = compose("prod")["services"]["nginx"]["volumes"]
        for file in {"nginx.conf", *re.findall(r"include (\S+);", NGINX)}:
            assert f"./nginx/{file}:/etc/nginx/{file}:ro" in mounted


class TestTheImage:
    def test_nothing_secret_and_no_test_is_sent_to_the_engine(self) -> None:
        lines = (CHECKOUT / ".dockerignore").read_text().splitlines()
        rules = [line for line in lines if line and not line.startswith("#")]
        assert rules[0] == "*"
        allowed = {rule[1:] for rule in rules if rule.startswith("!")}
        copied = set(re.findall(r"^COPY (?!--)(\S+)", _dockerfile(), re.MULTILINE))
        assert allowed == copied

    def test_the_user_has_a_number_and_is_the_one_that_compose_names(self) -> None:
        users = re.findall(r"^USER (\S+)$", _dockerfile(), re.MULTILINE)
        named = {
            service["user"]
            for service in compose("prod")["services"].values()
            if service["image"].startswith("ecs:")
        }
        assert users == ["10001:10001"]
        assert named == set(users)

    def test_every_package_is_the_one_that_was_locked(self) -> None:
        assert "--no-deps --require-hashes -r requirements.lock" in _dockerfile()

    def test_both_stages_stand_on_the_same_pinned_image(self) -> None:
        images = re.findall(r"^FROM (\S+)", _dockerfile(), re.MULTILINE)
        assert len(images) == 2
        assert len(set(images)) == 1
        assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", images[0])

    def test_its_labels_name_no_address(self) -> None:
        assert "://" not in _dockerfile()


class TestTheExample:
    def test_names_what_the_classes_and_compose_read_and_nothing_else(self, home: Path) -> None:
        read = {
            reference.name
            for kind in FILES
            for reference in containers.references((CHECKOUT / FILES[kind]).read_text())
        }
        read |= containers.application_settings()
        assert set(containers.example()) == read - {"ECS_USER"}

    def test_names_what_the_native_stack_makes(self, home: Path) -> None:
        made = containers.native_settings(home)
        assert containers.application_settings() <= set(made)
        assert set(made) <= set(containers.example())

    def test_its_urls_are_what_compose_puts_together(self) -> None:
        known = containers.example()
        given = compose("prod")["services"]["migrate"]["environment"]
        for name in ("DB_URL", "DB_OWNER_URL", "REDIS_URL", "RABBITMQ_HOST", "RABBITMQ_PORT"):
            built = containers.VARIABLE.sub(lambda found: known[found.group(1)], given[name])
            assert known[name] == built

    def test_its_defaults_are_the_classes_own(self) -> None:
        odd = {"ENVIRONMENT", "DEBUG", "RABBITMQ_HOST", "PREQUALIFICATION_TEST_PANS"}
        known = containers.example()
        for model in (Settings, *_groups()):
            for name, field in model.model_fields.items():
                prefix = model.model_config.get("env_prefix", "")
                variable = str(field.validation_alias or f"{prefix}{name}").upper()
                secret = variable in {*containers.SECRETS, *odd, *containers.NOT_SERVED}
                if variable in known and not field.is_required() and not secret:
                    default = str(field.default)
                    assert known[variable] == (
                        default.lower() if isinstance(field.default, bool) else default
                    )


def _groups() -> list[Any]:
    annotations = [field.annotation for field in Settings.model_fields.values()]
    return [group for group in annotations if hasattr(group, "model_fields")]


def _dockerfile() -> str:
    return (CHECKOUT / "Dockerfile").read_text()
