import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID, uuid4

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ecs.domain.audit import (
    START,
    AuditAction,
    AuditRow,
    Candidate,
    Flaw,
    FlawKind,
    Link,
    Seal,
    Verification,
    find_flaw,
    make_seal,
    row_digest,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
TEXTS = st.text(max_size=6)


def digest(data: bytes) -> bytes:
    return hmac.digest(b"a key", data, hashlib.sha256)


def other_digest(data: bytes) -> bytes:
    return hmac.digest(b"another key", data, hashlib.sha256)


@st.composite
def stored_rows(draw: st.DrawFn, *, least: int = 3) -> list[AuditRow]:
    """Rows with growing ids and gaps, each with contents of its own."""
    ids = sorted(draw(st.sets(st.integers(1, 60), min_size=least, max_size=12)))
    return [
        AuditRow(
            id=row_id,
            at=NOW + timedelta(microseconds=draw(st.integers(0, 10**7))),
            actor=f"user:{row_id}",
            service=draw(TEXTS),
            action=draw(st.sampled_from(AuditAction)),
            application_id=draw(st.uuids()),
            request_id=draw(st.none() | TEXTS),
        )
        for row_id in ids
    ]


@st.composite
def sealed(draw: st.DrawFn, *, seals: int = 1) -> tuple[list[AuditRow], list[Seal]]:
    """Rows, and a chain over all of them with at least ``seals`` seals."""
    rows = draw(stored_rows(least=max(3, seals)))
    cuts = draw(st.sets(st.integers(1, len(rows) - 1), min_size=seals - 1))
    return rows, chain_over(rows, cuts)


def chain_over(rows: Sequence[AuditRow], cuts: set[int]) -> list[Seal]:
    previous: Link = START
    chain = []
    for start, end in pairwise([0, *sorted(cuts), len(rows)]):
        seal = make_seal(previous, rows[start:end], sealed_at=NOW, digest=digest)
        previous = seal
        chain.append(seal)
    return chain


def first_flaw(rows: Sequence[AuditRow], chain: Sequence[Seal]) -> Flaw | None:
    """Follow the chain as a verification does: rows are those of the seal's range."""
    previous: Link = START
    for seal in chain:
        under = [r for r in rows if r.id <= seal.last_id and (r.id > previous.last_id)]
        flaw = find_flaw(previous, seal, under[: len(seal.row_ids) + 1], digest)
        if flaw is not None:
            return flaw
        previous = seal
    return None


Change = Callable[[AuditRow], AuditRow]
CHANGES: dict[str, Change] = {
    "at": lambda row: replace(row, at=row.at + timedelta(microseconds=1)),
    "actor": lambda row: replace(row, actor=f"{row.actor}0"),
    "service": lambda row: replace(row, service=f"{row.service}x"),
    "action": lambda row: replace(row, action="READ"),
    "application_id": lambda row: replace(row, application_id=UUID(int=row.application_id.int ^ 1)),
    "request_id": lambda row: replace(row, request_id="" if row.request_id is None else None),
}
SEAL_CHANGES: dict[str, Callable[[Seal], Seal]] = {
    "first_id": lambda seal: replace(seal, first_id=seal.first_id - 1),
    "last_id": lambda seal: replace(seal, last_id=seal.last_id + 1),
    "row_ids": lambda seal: replace(seal, row_ids=[*seal.row_ids, seal.last_id]),
    "row_digests": lambda seal: replace(seal, row_digests=[b"", *seal.row_digests[1:]]),
    "previous_hash": lambda seal: replace(seal, previous_hash=bytes(31) + b"\1"),
    "sealed_at": lambda seal: replace(seal, sealed_at=seal.sealed_at + timedelta(seconds=1)),
    "hash": lambda seal: replace(seal, hash=bytes(32)),
}


class TestRows:
    @given(sealed())
    def test_verify_as_they_were_written(self, whole: tuple[list[AuditRow], list[Seal]]) -> None:
        assert first_flaw(*whole) is None

    @pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
    @given(whole=sealed(), data=st.data())
    def test_the_first_changed_one_is_named(
        self, whole: tuple[list[AuditRow], list[Seal]], data: st.DataObject, change: Change
    ) -> None:
        rows, chain = whole
        changed = sorted(data.draw(st.sets(st.integers(0, len(rows) - 1), min_size=1)))
        tampered = [change(row) if i in changed else row for i, row in enumerate(rows)]
        flaw = first_flaw(tampered, chain)
        assert flaw == Flaw(kind=FlawKind.ROW_CHANGED, number=rows[changed[0]].id)

    @given(whole=sealed(), data=st.data())
    def test_a_deleted_one_is_named(
        self, whole: tuple[list[AuditRow], list[Seal]], data: st.DataObject
    ) -> None:
        rows, chain = whole
        gone = data.draw(st.sampled_from(rows))
        flaw = first_flaw([row for row in rows if row is not gone], chain)
        assert flaw == Flaw(kind=FlawKind.ROW_MISSING, number=gone.id)

    @given(whole=sealed(), data=st.data())
    def test_one_that_slipped_in_is_named(
        self, whole: tuple[list[AuditRow], list[Seal]], data: st.DataObject
    ) -> None:
        rows, chain = whole
        new_id = data.draw(st.integers(-5, rows[-1].id))
        assume(new_id not in {row.id for row in rows})
        more = sorted([*rows, replace(rows[0], id=new_id)], key=lambda row: row.id)
        # Nothing may stand before the first seal either.
        first = [row for row in more if row.id <= chain[0].last_id]
        flaw = find_flaw(START, chain[0], first[: len(chain[0].row_ids) + 1], digest) or first_flaw(
            more, chain
        )
        assert flaw == Flaw(kind=FlawKind.ROW_SLIPPED_IN, number=new_id)

    @given(whole=sealed(), data=st.data())
    def test_two_that_changed_places_are_found(
        self, whole: tuple[list[AuditRow], list[Seal]], data: st.DataObject
    ) -> None:
        rows, chain = whole
        one, other = sorted(data.draw(st.permutations(range(len(rows))))[:2])
        swapped = list(rows)
        swapped[one] = replace(rows[other], id=rows[one].id)
        swapped[other] = replace(rows[one], id=rows[other].id)
        flaw = first_flaw(swapped, chain)
        assert flaw == Flaw(kind=FlawKind.ROW_CHANGED, number=rows[one].id)


class TestSeals:
    @pytest.mark.parametrize("change", SEAL_CHANGES.values(), ids=SEAL_CHANGES)
    @given(whole=sealed(), data=st.data())
    def test_a_changed_one_is_named(
        self,
        whole: tuple[list[AuditRow], list[Seal]],
        data: st.DataObject,
        change: Callable[[Seal], Seal],
    ) -> None:
        rows, chain = whole
        at = data.draw(st.integers(0, len(chain) - 1))
        tampered = [change(seal) if i == at else seal for i, seal in enumerate(chain)]
        flaw = first_flaw(rows, tampered)
        assert flaw == Flaw(kind=FlawKind.SEAL_CHANGED, number=chain[at].id)

    @given(whole=sealed(seals=2), data=st.data())
    def test_one_removed_before_others_is_named(
        self, whole: tuple[list[AuditRow], list[Seal]], data: st.DataObject
    ) -> None:
        rows, chain = whole
        gone = data.draw(st.sampled_from(chain[:-1]))
        flaw = first_flaw(rows, [seal for seal in chain if seal is not gone])
        assert flaw == Flaw(kind=FlawKind.SEAL_MISSING, number=gone.id)

    @given(whole=sealed(seals=2), data=st.data())
    def test_two_that_changed_places_are_found(
        self, whole: tuple[list[AuditRow], list[Seal]], data: st.DataObject
    ) -> None:
        rows, chain = whole
        one, other = sorted(data.draw(st.permutations(range(len(chain))))[:2])
        swapped = list(chain)
        swapped[one] = replace(chain[other], id=chain[one].id)
        swapped[other] = replace(chain[one], id=chain[other].id)
        flaw = first_flaw(rows, swapped)
        assert flaw == Flaw(kind=FlawKind.SEAL_CHANGED, number=chain[one].id)

    @given(sealed(seals=2))
    def test_one_of_another_chain_is_out_of_place(
        self, whole: tuple[list[AuditRow], list[Seal]]
    ) -> None:
        rows, chain = whole
        elsewhere = replace(chain[0], hash=bytes(32))
        count = len(chain[0].row_ids)
        stranger = make_seal(elsewhere, rows[count : count + 1], sealed_at=NOW, digest=digest)
        flaw = first_flaw(rows, [chain[0], stranger])
        assert flaw == Flaw(kind=FlawKind.SEAL_OUT_OF_CHAIN, number=2)

    @given(stored_rows())
    def test_nobody_makes_one_without_the_key(self, rows: list[AuditRow]) -> None:
        forged = make_seal(START, rows, sealed_at=NOW, digest=other_digest)
        assert first_flaw(rows, [forged]) == Flaw(kind=FlawKind.SEAL_CHANGED, number=1)

    @given(stored_rows())
    def test_are_over_rows_in_their_order(self, rows: list[AuditRow]) -> None:
        for wrong in ([], rows[::-1], [rows[0], rows[0]]):
            with pytest.raises(ValueError, match="in the order of their ids"):
                make_seal(START, wrong, sealed_at=NOW, digest=digest)


class TestRowDigest:
    def test_does_not_let_one_column_run_into_the_next(self) -> None:
        row = AuditRow(
            id=1,
            at=NOW,
            actor="ab",
            service="c",
            action="DECRYPT",
            application_id=uuid4(),
            request_id=None,
        )
        others = [
            replace(row, actor="a", service="bc"),
            replace(row, request_id=""),
            replace(row, request_id="None"),
            replace(row, id=-1),
        ]
        assert len({row_digest(one, digest) for one in [row, *others]}) == 1 + len(others)

    def test_is_the_same_wherever_the_clock_hangs(self) -> None:
        row = AuditRow(
            id=1,
            at=NOW,
            actor="system",
            service="api",
            action="ENCRYPT",
            application_id=uuid4(),
            request_id="req-1",
        )
        far = replace(row, at=NOW.astimezone())
        assert row_digest(row, digest) == row_digest(far, digest)


class TestCandidate:
    def test_waits_only_for_those_who_were_there(self) -> None:
        seen = Candidate(last_id=7, writers=frozenset({"3/1", "4/2"}))
        later = seen.still_waiting_for(frozenset({"4/2", "5/9"}))
        assert later == Candidate(last_id=7, writers=frozenset({"4/2"}))


class TestVerification:
    @pytest.mark.parametrize(
        "wrong",
        [
            Verification(flaw=Flaw(kind=FlawKind.ROW_CHANGED, number=1)),
            Verification(unseen_encryption=uuid4()),
            Verification(unseen_decryption=uuid4()),
            Verification(waiting_rows=1, waiting_seconds=61),
        ],
        ids=["a flaw", "no ENCRYPT row", "no DECRYPT row", "nobody seals"],
    )
    def test_is_not_sound_with(self, wrong: Verification) -> None:
        assert not wrong.is_sound

    def test_is_sound_while_rows_wait_for_the_next_round(self) -> None:
        assert Verification(waiting_rows=5, waiting_seconds=60).is_sound

    @pytest.mark.parametrize("kind", FlawKind)
    def test_names_the_row_or_the_seal(self, kind: FlawKind) -> None:
        assert f"{kind.value.partition(' ')[0]} 41" in str(Flaw(kind=kind, number=41))
