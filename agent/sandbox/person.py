"""Plays the operator's hands, for demos and tests: does each thing when it is asked for, never more, and under a name that says so."""

import struct
import zlib
from collections.abc import Container
from pathlib import Path

from agent.domain.question import Question, Step
from agent.operator.answers import Answers
from agent.ports.files import FileStore
from agent.ports.ledger import Ledger, Stale

NAME = "Ada Example, played by the sandbox"


class Person:
    """`folder` is where the photos it "takes" are written."""

    def __init__(self, ledger: Ledger, store: FileStore, folder: Path, name: str = NAME) -> None:
        self._ledger = ledger
        self._answers = Answers(ledger, store, name)
        self._photo = folder / "photo.png"
        self._photo.write_bytes(picture())

    def act(self, steps: Container[Step] = tuple(Step)) -> list[Question]:
        """Answer what is asked now, of these steps; returns the questions that were. Holds and offers need judgement: they are left."""
        asked = [question for question in self._ledger.open_questions() if question.step in steps]
        return [question for question in asked if self._answered_in_time(question)]

    def _answered_in_time(self, question: Question) -> bool:
        """One look at a bed answers for every order that waits for it; what was settled meanwhile needs nobody any more."""
        try:
            return self._answered(question)
        except Stale:
            return False

    def _answered(self, question: Question) -> bool:
        match question.step:
            case Step.BED:
                self._answers.bed_is_clear(question.printer)
            case Step.PHOTOS:
                agreed = [str(attestation["code"]) for attestation in question.data.get("attestations", [])]
                self._answers.photographed(question.order_id, [self._photo], agreed)
            case Step.HOLD | Step.OFFER:
                return False
            case step:
                self._answers.choose(step, question.order_id, "")
        return True


def picture(width: int = 64, height: int = 48) -> bytes:
    """A small PNG with a gradient: no camera was there."""
    rows = b"".join(b"\0" + bytes(value for x in range(width) for value in (y * 5, x * 4, x * 4)) for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
