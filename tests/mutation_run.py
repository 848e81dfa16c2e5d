"""
A pytest plugin for mutation runs: the same examples for each mutant, fewer, and none shrunk.

It stands in for ``conftest.py``, whose services no test of a pure decision needs.
"""

from typing import Final

import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings

from ecs.domain.consents import released_texts
from ecs.domain.passwords import common_passwords
from tests.unit.domain.credit.people import shipped

# A mutant lives in a process forked after all tests have passed: it must read the files itself.
CACHES: Final = (common_passwords, released_texts, shipped)

hypothesis_settings.register_profile(
    "mutation",
    database=None,
    deadline=None,
    derandomize=True,
    max_examples=25,
    phases=(Phase.explicit, Phase.generate),
    # Each mutant runs the tests a second time in one process; hypothesis takes that for a fault.
    suppress_health_check=(HealthCheck.differing_executors, HealthCheck.too_slow),
)
hypothesis_settings.load_profile("mutation")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Forget what earlier tests have read."""
    for cached in CACHES:
        cached.cache_clear()
