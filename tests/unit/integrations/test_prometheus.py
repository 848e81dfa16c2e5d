"""The measures as prometheus-client keeps them, and the catalogue of what is measured."""

import re
import socket
import urllib.request
from itertools import pairwise, product
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from ecs.domain.measures import ALL, CREDIT_DECISIONS, HTTP_SECONDS
from ecs.domain.telemetry import Counter, Gauge, Histogram, Measure
from ecs.integrations.telemetry.prometheus import CONTENT_TYPE, PrometheusMeasures

SEEN: Final = Counter(
    name="ecs_test_seen_total", help="Things seen.", labels={"kind": ("known", "rare")}
)
SIZE: Final = Histogram(
    name="ecs_test_size_bytes", help="How large things were.", buckets=(1.0, 10.0)
)
LEVEL: Final = Gauge(name="ecs_test_level", help="How high it stands.", labels={"place": ()})
# What would make a series of each person, each offer, each request.
IDENTIFYING: Final = re.compile(
    r"(^|_)(id|ids|user|person|client|offer|application|account|job|email|name|pan|address|path|"
    r"request|trace|message)($|_)"
)
UNITS: Final = ("_seconds", "_messages", "_factor", "_default")
amounts = st.integers(min_value=0, max_value=1_000)
values = st.floats(min_value=0, max_value=100, allow_nan=False)
words = st.text(max_size=30)

Series = tuple[str, frozenset[tuple[str, str]]]


def shown(measures: PrometheusMeasures) -> dict[Series, float]:
    """Return every sample of the exposition, as somebody else's parser reads it."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(measures.exposition().decode())
        for sample in family.samples
    }


def series(name: str, **labels: str) -> Series:
    return name, frozenset(labels.items())


class TestPrometheusMeasures:
    @given(counted=st.lists(st.tuples(st.sampled_from(["known", "rare", "new"]), amounts)))
    def test_counts_add_up(self, counted: list[tuple[str, int]]) -> None:
        measures = PrometheusMeasures([SEEN])
        for kind, amount in counted:
            measures.count(SEEN, amount, kind=kind)
        found = shown(measures)

        for kind in {"known", "rare", *(kind for kind, _ in counted)}:
            total = sum(amount for one, amount in counted if one == kind)
            assert found[series(SEEN.name, kind=kind)] == total

    @given(observed=st.lists(values))
    def test_values_fall_into_every_bucket_that_holds_them(self, observed: list[float]) -> None:
        measures = PrometheusMeasures([SIZE])
        for value in observed:
            measures.observe(SIZE, value)
        found = shown(measures)

        for bound, label in ((1.0, "1.0"), (10.0, "10.0"), (float("inf"), "+Inf")):
            within = sum(value <= bound for value in observed)
            assert found[series(f"{SIZE.name}_bucket", le=label)] == within
        assert found[series(f"{SIZE.name}_count")] == len(observed)
        assert found[series(f"{SIZE.name}_sum")] == pytest.approx(sum(observed))

    @given(told=st.dictionaries(words, values, max_size=5))
    def test_a_gauge_is_what_it_was_last_told_whatever_its_label_says(
        self, told: dict[str, float]
    ) -> None:
        measures = PrometheusMeasures([LEVEL])
        for place, value in told.items():
            measures.set(LEVEL, value + 1, place=place)
            measures.set(LEVEL, value, place=place)

        found = {one: value for one, value in shown(measures).items() if one[0] == LEVEL.name}
        assert found == {series(LEVEL.name, place=place): value for place, value in told.items()}

    def test_what_is_watched_is_asked_whenever_somebody_looks(self) -> None:
        measures, levels = PrometheusMeasures([LEVEL]), iter([3.0, 5.0])
        measures.watch(LEVEL, lambda: next(levels), place="here")

        assert [shown(measures)[series(LEVEL.name, place="here")] for _ in range(2)] == [3, 5]

    @pytest.mark.parametrize(
        ("amount", "labels"),
        [
            pytest.param(1, {"kind": "known", "other": "x"}, id="a-label-too-many"),
            pytest.param(1, {}, id="a-label-too-few"),
            pytest.param(1, {"other": "x"}, id="another-label"),
            pytest.param(-1, {"kind": "known"}, id="less-than-nothing"),
        ],
    )
    def test_what_cannot_be_true_is_told_and_stops_nobody(
        self, amount: float, labels: dict[str, str]
    ) -> None:
        measures = PrometheusMeasures([SEEN])
        with capture_logs() as lines:
            measures.count(SEEN, amount, **labels)

        told = [(line["event"], line["log_level"], line["name"]) for line in lines]
        assert told == [("metrics.measurement-refused", "error", SEEN.name)]
        assert shown(measures)[series(SEEN.name, kind="known")] == 0

    def test_two_of_them_share_nothing(self) -> None:
        one, other = PrometheusMeasures([SEEN]), PrometheusMeasures([SEEN])
        one.count(SEEN, kind="known")

        assert shown(other)[series(SEEN.name, kind="known")] == 0

    def test_says_how_much_of_the_machine_the_process_takes(self) -> None:
        found = shown(PrometheusMeasures([]))

        assert found[series("process_cpu_seconds_total")] > 0
        assert found[series("process_resident_memory_bytes")] > 0

    def test_serves_what_it_shows(self) -> None:
        measures, port = PrometheusMeasures([SEEN]), free_port()
        measures.count(SEEN, kind="known")
        measures.serve(host="127.0.0.1", port=port)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()

        assert f'{SEEN.name}{{kind="known"}} 1.0' in text

    def test_lives_with_a_port_that_is_taken(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken, capture_logs() as lines:
            PrometheusMeasures([]).serve(host="127.0.0.1", port=taken.getsockname()[1])

        assert [line["event"] for line in lines] == ["metrics.not-served"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


def by_name(measure: Measure) -> str:
    return measure.name


@pytest.mark.parametrize("measure", ALL, ids=by_name)
class TestEveryMeasure:
    def test_is_named_by_what_it_counts_and_in_which_unit(self, measure: Measure) -> None:
        assert re.fullmatch(r"ecs(_[a-z]+)+", measure.name)
        assert measure.name.endswith("_total") == isinstance(measure, Counter)
        if isinstance(measure, Histogram):
            assert measure.name.endswith(UNITS)

    def test_says_in_a_sentence_what_it_is(self, measure: Measure) -> None:
        assert re.fullmatch(r"[A-Z0-9][^\n]{5,199}\.", measure.help)

    def test_has_no_label_that_tells_one_person_from_another(self, measure: Measure) -> None:
        for label in measure.labels:
            assert re.fullmatch(r"[a-z]+(_[a-z]+)*", label)
            assert not IDENTIFYING.search(label)

    def test_has_each_label_value_once_and_as_a_word(self, measure: Measure) -> None:
        for known in measure.labels.values():
            assert len(set(map(str, known))) == len(known)
            assert all(re.fullmatch(r"[A-Za-z0-9_.:-]+", value) for value in known)

    def test_has_buckets_that_rise(self, measure: Measure) -> None:
        if isinstance(measure, Histogram):
            assert all(lower < upper for lower, upper in pairwise(measure.buckets))

    def test_begins_at_nought_where_its_labels_are_known(self, measure: Measure) -> None:
        suffix = "_count" if isinstance(measure, Histogram) else ""
        expected = {
            series(
                measure.name + suffix, **dict(zip(measure.labels, map(str, values), strict=True))
            )
            for values in product(*measure.labels.values())
        }
        if isinstance(measure, Gauge):
            expected = set()  # Nought would be an answer, and nobody has looked.
        found = shown(PrometheusMeasures([measure]))

        assert expected == {one for one in found if one[0] == measure.name + suffix}
        assert {found[one] for one in expected} <= {0}


class TestTheCatalogue:
    def test_names_nothing_twice(self) -> None:
        names = [measure.name for measure in ALL]

        assert len(set(names)) == len(names) > 30
        assert {HTTP_SECONDS.name, CREDIT_DECISIONS.name} < set(names)

    def test_is_shown_whole_and_as_its_kind(self) -> None:
        measures = PrometheusMeasures()
        for measure in ALL:
            if isinstance(measure, Gauge):
                measures.set(measure, 1, **dict.fromkeys(measure.labels, "some"))
        text = measures.exposition().decode()
        families = {family.name: family for family in text_string_to_metric_families(text)}

        for measure in ALL:
            family = families[measure.name.removesuffix("_total")]
            assert family.type == type(measure).__name__.lower()
            assert family.documentation == measure.help

    def test_is_of_a_size_that_can_be_read_every_few_seconds(self) -> None:
        found = shown(PrometheusMeasures())

        assert len(found) < 2_000
        assert not [name for name, _ in found if name.endswith("_created")]

    def test_is_shown_in_the_form_that_is_announced(self) -> None:
        assert CONTENT_TYPE.startswith("text/plain; version=0.0.4")
