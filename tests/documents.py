"""What the documents say, as data: their blocks of commands, their links, the files they name."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scripts.stack.place import CHECKOUT

NOT_RUN: Final = re.compile(r"<!-- not run: (?P<reason>.+?) -->\n\Z")
_BLOCK: Final = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
_HEADING: Final = re.compile(r"^#+ (.+)$", re.MULTILINE)
_LINK: Final = re.compile(r"\]\((?!https?:)([^)\s]+)\)")
_CODE: Final = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block; ``reason`` says why no test runs it, None when one does."""

    document: str
    line: int
    language: str
    text: str
    reason: str | None

    @property
    def name(self) -> str:
        return f"{self.document}:{self.line}"


def documents() -> list[Path]:
    """Every document of the repository, in order."""
    found = [*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/**/*.md"), CHECKOUT / "tests/README.md"]
    return sorted(found)


def blocks(document: Path) -> Iterator[Block]:
    """The fenced blocks of a document, in order."""
    text = document.read_text()
    for match in _BLOCK.finditer(text):
        before = text[: match.start()]
        mark = NOT_RUN.search(before)
        yield Block(
            document=str(document.relative_to(CHECKOUT)),
            line=before.count("\n") + 1,
            language=match["language"],
            text=match["text"],
            reason=mark["reason"] if mark else None,
        )


def runnable(language: str) -> list[Block]:
    """Every block of a language, in whatever document, that a test has to run."""
    return [
        block
        for document in documents()
        for block in blocks(document)
        if block.language == language and block.reason is None
    ]


def prose(document: Path) -> str:
    """The text between the blocks."""
    return _BLOCK.sub("", document.read_text())


def anchors(document: Path) -> set[str]:
    """The names by which a code host lets one link to a document's headings."""
    titles = _HEADING.findall(prose(document))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(document: Path) -> list[str]:
    """Where a document links to inside of the repository."""
    return _LINK.findall(prose(document))


def code(document: Path) -> list[str]:
    """What stands between single backticks."""
    return _CODE.findall(prose(document))
