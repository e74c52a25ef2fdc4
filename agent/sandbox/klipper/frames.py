"""Message blocks: length, sequence, content, CRC, 0x7e (Klipper docs/Protocol.md). Contents are integers of variable length and strings."""

import binascii
from collections.abc import Iterator
from typing import NamedTuple

SYNC = 0x7E
SMALLEST = 5
LARGEST = 64
_HEAD = 2
_TAIL = 3
_SEQUENCE_HIGH = 0x10
# The CRC runs over each byte's low bit first, binascii's over its high bit first: bytes are mirrored before, the sum after.
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class Malformed(ValueError):
    """Bytes that are no message, though their checksum was right."""


def checksum(data: bytes) -> bytes:
    """CRC-16 of the CCITT polynomial, reflected, from 0xffff; the high byte first, as it stands in a block."""
    value = binascii.crc_hqx(data.translate(_MIRRORED), 0xFFFF)
    return bytes((_MIRRORED[value & 0xFF], _MIRRORED[value >> 8]))


def integer(value: int) -> bytes:
    """As few digits of base 128 as hold it, the first digit's top quarter standing for negative numbers.

    The documentation's table says how far n digits reach: from -2**(7n-2) up to, not including, 3 * 2**(7n-2).
    """
    digits = 1
    while not -(1 << (7 * digits - 2)) <= value < 3 << (7 * digits - 2):
        digits += 1
    value %= 1 << (7 * digits)
    more = (0x80 | (value >> (7 * place)) & 0x7F for place in range(digits - 1, 0, -1))
    return bytes((*more, value & 0x7F))


def read_integer(data: bytes, at: int) -> tuple[int, int]:
    """The number that begins there, and where it ends. Malformed where the data ends first, or after five digits."""
    value = 0
    for digits in range(1, 6):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return (value if value < 3 << (7 * digits - 2) else value - (1 << 7 * digits)), at
    raise Malformed("a number without an end")


def block(sequence: int, content: bytes = b"") -> bytes:
    """One message block; without content it acknowledges."""
    body = bytes((_HEAD + len(content) + _TAIL, _SEQUENCE_HIGH | sequence & 0x0F)) + content
    return body + checksum(body) + bytes((SYNC,))


class Block(NamedTuple):
    sequence: int
    content: bytes


class BlockReader:
    """Finds the blocks in a stream that may hold anything: after a bad one it goes on behind the next 0x7e. Keeps less than one block."""

    def __init__(self) -> None:
        self._data = b""
        self._lost = False

    def feed(self, data: bytes) -> Iterator[Block | None]:
        """Each good block, and one None for each stretch of bad bytes."""
        self._data += data
        while self._data:
            if self._lost:
                self._skip()
            elif self._data[0] == SYNC:  # a block may have one in front
                self._data = self._data[1:]
            elif (found := self._first()) is not None:
                yield found
            elif self._lost:
                yield None
            else:
                return

    def _skip(self) -> None:
        _, sync, rest = self._data.partition(bytes((SYNC,)))
        self._data = rest
        self._lost = not sync

    def _first(self) -> Block | None:
        """None: not all there yet, or bad, which is then `_lost`."""
        size = self._data[0]
        if not SMALLEST <= size <= LARGEST or (len(self._data) > 1 and self._data[1] & 0xF0 != _SEQUENCE_HIGH):
            self._lost = True
            return None
        if len(self._data) < size:
            return None
        whole, rest = self._data[:size], self._data[size:]
        if whole[-1] != SYNC or checksum(whole[:-_TAIL]) != whole[-_TAIL:-1]:
            self._lost = True
            return None
        self._data = rest
        return Block(whole[1] & 0x0F, whole[_HEAD:-_TAIL])
