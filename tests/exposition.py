"""What a process shows of its measures, read as Prometheus reads it."""

from prometheus_client.parser import text_string_to_metric_families

Series = tuple[str, frozenset[tuple[str, str]]]


def samples(exposition: bytes) -> dict[Series, float]:
    """Return every value that is shown, by its series."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(exposition.decode())
        for sample in family.samples
    }


def value_of(exposition: bytes, name: str, **labels: str) -> float | None:
    """Return one value, None when its series is not shown."""
    return samples(exposition).get((name, frozenset(labels.items())))
