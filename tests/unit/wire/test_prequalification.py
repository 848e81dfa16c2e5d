"""The two events of prequalification: what is used of them is read strictly, the rest not."""

import base64
import json
from typing import Any
from uuid import UUID, uuid4

import pytest

from ecs.domain.events import Cause
from ecs.domain.prequalification.pipeline import PASSING, ReportNotice, SubmissionNotice, Verdict
from ecs.wire.domain_events import NotAnEvent
from ecs.wire.prequalification import EXPLANATIONS, read_report_notice, read_submission_notice

EVENT = UUID("0192f0c8-7d3a-7c1e-8a5b-3f2e1d0c9b8a")
APPLICATION = UUID("0192f0c8-7d3a-7c1e-8a5b-3f2e1d0c9b8b")
SUBMISSION = "prequalification.application-submitted"
CIPHERTEXT = b"\x01\x011" + bytes(range(38))
SUBMITTED: dict[str, Any] = {
    "application_id": str(APPLICATION),
    "user_id": str(uuid4()),
    "pan_encrypted": base64.b64encode(CIPHERTEXT).decode(),
    "monthly_income_inr": "50000.00",
    "loan_amount_inr": "1000000000.00",
    "loan_type": "HOME",
}
GENERATED: dict[str, Any] = {
    "application_id": str(APPLICATION),
    "user_id": str(uuid4()),
    "cibil_score": 655,
}
USED = {"application_id", "pan_encrypted"}
OTHER_FORMS = [None, 7, "BOAT", "ABCDE1234F", {"amount": "1.00"}]


def submission(**changes: Any) -> bytes:
    return _event(SUBMISSION, SUBMITTED | changes)


def report_notice(**changes: Any) -> bytes:
    return _event("prequalification.credit-report-generated", GENERATED | changes)


def _event(name: str, data: dict[str, Any]) -> bytes:
    envelope = {
        "specversion": "1.0",
        "id": str(EVENT),
        "source": "/ecs",
        "type": name,
        "time": "2026-11-21T15:00:00.123456+00:00",
        "datacontenttype": "application/json",
        "requestid": "req-1",
        "data": data,
    }
    return json.dumps(envelope).encode()


class TestReadSubmission:
    def test_returns_ids_and_the_ciphertext(self) -> None:
        assert read_submission_notice(submission()) == SubmissionNotice(
            event_id=EVENT,
            cause=Cause(request_id="req-1"),
            application_id=APPLICATION,
            pan_ciphertext=CIPHERTEXT,
        )

    def test_never_prints_the_ciphertext(self) -> None:
        read = read_submission_notice(submission())
        assert SUBMITTED["pan_encrypted"] not in repr(read)
        assert repr(CIPHERTEXT) not in repr(read)

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("application_id", "not an id"),
            ("application_id", None),
            ("pan_encrypted", None),
            ("pan_encrypted", ""),
            ("pan_encrypted", "ABCDE1234F"),
            ("pan_encrypted", "YWJj\n"),
            ("pan_encrypted", "é"),
            ("pan_encrypted", 7),
            ("pan_encrypted", "QUJD" * 101),
        ],
    )
    def test_refuses_another_form_and_repeats_nothing(self, field: str, value: Any) -> None:
        with pytest.raises(NotAnEvent) as caught:
            read_submission_notice(submission(**{field: value}))
        assert caught.value.code == "invalid_field"
        assert "ABCDE1234F" not in caught.value.reason
        assert "not an id" not in caught.value.reason

    @pytest.mark.parametrize("field", sorted(USED))
    def test_needs_what_it_uses(self, field: str) -> None:
        data = {name: value for name, value in SUBMITTED.items() if name != field}
        with pytest.raises(NotAnEvent, match=field) as caught:
            read_submission_notice(_event(SUBMISSION, data))
        assert caught.value.code == "invalid_field"

    @pytest.mark.parametrize("field", sorted(SUBMITTED.keys() - USED))
    @pytest.mark.parametrize("value", OTHER_FORMS)
    def test_does_not_mind_another_form_of_what_it_does_not_use(
        self, field: str, value: Any
    ) -> None:
        expected = read_submission_notice(submission())
        assert read_submission_notice(submission(**{field: value})) == expected
        data = {name: value for name, value in SUBMITTED.items() if name != field}
        assert read_submission_notice(_event(SUBMISSION, data)) == expected

    def test_does_not_mind_what_a_later_version_adds(self) -> None:
        later = json.loads(submission(branch="Pune", terms={"months": 48}))
        body = json.dumps(later | {"tracestate": "a=1", "dataschema": "v2"}).encode()
        assert read_submission_notice(body) == read_submission_notice(submission())

    def test_refuses_the_other_event(self) -> None:
        with pytest.raises(NotAnEvent) as caught:
            read_submission_notice(report_notice())
        assert caught.value.code == "unexpected_type"


class TestReadReportNotice:
    def test_returns_ids_and_no_score(self) -> None:
        # What is decided by is what is stored.
        assert read_report_notice(report_notice()) == ReportNotice(
            event_id=EVENT, cause=Cause(request_id="req-1"), application_id=APPLICATION
        )

    @pytest.mark.parametrize(
        "changes", [{"cibil_score": 901.5}, {"cibil_score": None}, {"user_id": 7}, {"scores": []}]
    )
    def test_does_not_mind_what_it_does_not_use(self, changes: dict[str, Any]) -> None:
        assert read_report_notice(report_notice(**changes)) == read_report_notice(report_notice())

    @pytest.mark.parametrize("value", ["not an id", 7, None])
    def test_refuses_another_form_of_the_id(self, value: Any) -> None:
        with pytest.raises(NotAnEvent, match="/data/application_id: ") as caught:
            read_report_notice(report_notice(application_id=value))
        assert caught.value.code == "invalid_field"

    def test_refuses_the_other_event(self) -> None:
        with pytest.raises(NotAnEvent) as caught:
            read_report_notice(submission())
        assert caught.value.code == "unexpected_type"


def test_every_verdict_but_done_is_explained() -> None:
    assert set(EXPLANATIONS) == set(Verdict) - {Verdict.DONE}
    assert set(EXPLANATIONS) > PASSING
