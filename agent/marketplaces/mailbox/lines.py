"""Patterns for lines of a mail: text with fields in braces, `{quantity} x {file}, {material}`.

The text between two fields ends the first of them where it comes first: what a line means is found in one pass, whatever is in it. (A
regular expression that an operator writes and a stranger feeds may take years.) Capital letters and the width of spaces do not matter.
"""

import re
from dataclasses import dataclass

LONGEST_LINE = 1000
_FIELD = re.compile(r"\{([a-z_]*)\}")


@dataclass(frozen=True)
class Pattern:
    """`texts` stand before, between and behind the `fields`: one more than these."""

    fields: tuple[str, ...]
    texts: tuple[str, ...]

    def read(self, line: str) -> dict[str, str] | None:
        """Each field's value in a line of `tidy`; None where the line is another one. A field that is empty is none."""
        start = _find(self.texts[0], line, 0, at_start=True)
        if start is None:
            return None
        at, values = start[1], {}
        for n, field in enumerate(self.fields):
            last = n == len(self.fields) - 1
            end = _find(self.texts[n + 1], line, at, at_end=last)
            if end is None or not line[at : end[0]].strip():
                return None
            values[field] = line[at : end[0]].strip()
            at = end[1]
        return values if at == len(line) else None


def pattern(text: str) -> Pattern:
    """ValueError, in words for who wrote it, where it is none."""
    parts = _FIELD.split(" ".join(text.split()))
    fields, texts = tuple(parts[1::2]), tuple(parts[0::2])
    if "{" in "".join(texts) or "}" in "".join(texts):
        raise ValueError("fields in braces, such as {payout}")
    if len(set(fields)) != len(fields):
        raise ValueError("each field once")
    if any(not between.strip() for between in texts[1:-1]):
        raise ValueError("some text between two fields")
    if not "".join(texts).strip():
        raise ValueError("some text beside the field, by which the line is known")
    return Pattern(fields, texts)


def tidy(text: str) -> list[str]:
    """The lines of a mail that hold something, with single spaces, and cut where no person would read on."""
    lines = (" ".join(line.replace("\N{ZERO WIDTH SPACE}", "").split()) for line in text.splitlines())
    return [line[:LONGEST_LINE] for line in lines if line]


def _find(text: str, line: str, start: int, *, at_start: bool = False, at_end: bool = False) -> tuple[int, int] | None:
    """Where the text begins and ends in the line, from `start` on. An empty one at the end is the end."""
    escaped = re.escape(text.rstrip() if at_end else text)
    if at_end:
        found = re.compile(rf"{escaped}\Z", re.IGNORECASE).search(line, start)
    elif at_start:
        found = re.compile(rf"{escaped}", re.IGNORECASE).match(line, start)
    else:
        found = re.compile(escaped, re.IGNORECASE).search(line, start)
    return (found.start(), found.end()) if found else None
