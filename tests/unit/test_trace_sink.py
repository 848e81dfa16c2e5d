"""The collector of the native stack: what it takes, what it keeps, and for how long."""

import json
from pathlib import Path
from typing import Final

import httpx
import pytest

from scripts.stack.errors import StackError
from scripts.stack.place import NOBODY, Place, Watching
from scripts.stack.settings import application_environment
from scripts.stack.trace_sink import FILE, OLDER, PATH, TraceFolder
from tests.sinks import trace_collector

PORTS: Final = dict.fromkeys(("http", "postgres", "redis", "amqp", "smtp", "otlp"), 7788)


class TestCollector:
    @pytest.mark.parametrize(
        ("path", "body", "status"),
        [(PATH, b"", 200), (PATH, b"\xff\xff", 400), ("/v1/metrics", b"", 404)],
        ids=["nothing", "garbage", "elsewhere"],
    )
    def test_takes_only_exports_of_spans(self, path: str, body: bytes, status: int) -> None:
        with trace_collector() as taken:
            assert httpx.post(f"{taken.url}{path}", content=body).status_code == status
            assert taken.items == []


class TestTraceFolder:
    def test_keeps_the_newest_and_forgets_the_oldest(self, tmp_path: Path) -> None:
        folder = TraceFolder(tmp_path, bytes_max=100)
        for number in range(50):
            folder.store([{"number": number}])
        kept = [
            json.loads(line)["number"]
            for name in (OLDER, FILE)
            for line in (tmp_path / name).read_text().splitlines()
        ]
        assert kept == [*range(kept[0], 50)]
        assert 0 < kept[0] < 50
        assert (tmp_path / FILE).stat().st_mode & 0o077 == 0


class TestWatching:
    @pytest.mark.parametrize(
        ("traces", "endpoint"),
        [
            ("", ""),
            ("1", "http://127.0.0.1:7788"),
            ("http://collector:4318", "http://collector:4318"),
        ],
    )
    def test_becomes_the_settings_of_whoever_starts(
        self, tmp_path: Path, traces: str, endpoint: str
    ) -> None:
        place = Place(home=tmp_path, throwaway=True)
        assert place.watching() == NOBODY
        place.tell(Watching(traces=traces, sentry_dsn="http://a@h/1"))
        environment = application_environment(place, PORTS)
        assert environment["OTEL_EXPORTER_OTLP_ENDPOINT"] == endpoint
        assert environment["SENTRY_DSN"] == "http://a@h/1"
        assert (tmp_path / "watching.json").stat().st_mode & 0o077 == 0

    @pytest.mark.parametrize("wrong", ["yes", "0", "collector:4318", "http://a/v1/traces", "ftp:"])
    def test_is_refused_where_it_names_nobody(self, wrong: str) -> None:
        with pytest.raises(StackError, match="TRACES"):
            Watching(traces=wrong)
