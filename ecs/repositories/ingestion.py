"""What every batch ingestion shares."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar


class Placed(Protocol):
    """An item that knows its place in the batch."""

    @property
    def index(self) -> int:
        """Return the place."""


Item = TypeVar("Item", bound=Placed)
Verdict = TypeVar("Verdict")


async def ingest_seeing_everything(
    ingest: Callable[[Sequence[Item]], Awaitable[dict[int, Verdict | None]]],
    items: Sequence[Item],
    *,
    otherwise: Verdict,
) -> dict[int, Verdict]:
    """
    Run ``ingest``, and once more for the items it has no verdict on; return one for each index.

    Those were stored by a transaction that committed after the statement had taken its snapshot:
    neither written by us nor seen. A second statement sees them; what even that does not see gets
    the verdict ``otherwise``.
    """
    verdicts = await ingest(items)
    unseen = [item for item in items if verdicts[item.index] is None]
    verdicts |= await ingest(unseen) if unseen else {}
    return {index: verdict or otherwise for index, verdict in verdicts.items()}
