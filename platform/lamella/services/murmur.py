"""murmur3-32 of one salt with many units at once, bit for bit what `experiments.hashing` gives for each.

The blocks of a salt that no unit touches are hashed once; the blocks of the units are mixed once for each alignment
that the salts have, of which there are four. What is left for each salt and block is six operations on whole arrays.
Source: murmur3_x86_32 by Appleby.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lamella.experiments.hashing import Salt

Hashes = NDArray[np.uint32]
_C1: Final = 0xCC9E2D51
_C2: Final = 0x1B873593
_N: Final = 0xE6546B64
_WORD: Final = 0xFFFFFFFF
SHORTEST: Final = 4
"""Units of fewer bytes share their only block with the salt and are not for here."""


class Units:
    """Units of one length in bytes, as the rows of an array, ready to be hashed with any salt."""

    def __init__(self, rows: NDArray[np.uint8]) -> None:
        self._rows, (self.count, self._size) = rows, rows.shape
        self._ready: dict[int, tuple[Hashes, list[Hashes], Hashes | None]] = {}
        self._spare: Hashes = np.empty(self.count, np.uint32)

    def hashes(self, salt: Salt) -> Hashes:
        """The hash of every unit with the salt: (units,), uint32."""
        head = salt.head(self._size)
        whole = len(head) // 4 * 4
        rest = head[whole:]
        first, blocks, tail = self._aligned(len(rest))
        state = _state(head[:whole])
        found = first.copy()
        if rest:
            found |= np.uint32(int.from_bytes(rest, "little"))
            _mix(found, self._spare)
        found ^= np.uint32(state)
        self._round(found)
        for block in blocks:
            found ^= block
            self._round(found)
        if tail is not None:
            found ^= tail
        return self._finished(found, len(head) + self._size)

    def _aligned(self, before: int) -> tuple[Hashes, list[Hashes], Hashes | None]:
        """The units' first block, unmixed where `before` bytes of the salt lie in it, the others, and the tail."""
        if before not in self._ready:
            padded = np.zeros((self.count, -(-(before + self._size) // 4) * 4), np.uint8)
            padded[:, before : before + self._size] = self._rows
            words = np.ascontiguousarray(padded.view("<u4").astype(np.uint32, copy=False).T)
            for word in words[1 if before else 0 :]:
                _mix(word, self._spare)
            whole = (before + self._size) // 4
            tail = words[whole] if whole < len(words) else None
            self._ready[before] = (words[0], list(words[1:whole]), tail)
        return self._ready[before]

    def _round(self, found: Hashes) -> None:
        _rotate(found, 13, self._spare)
        np.multiply(found, np.uint32(5), out=found)
        np.add(found, np.uint32(_N), out=found)

    def _finished(self, found: Hashes, size: int) -> Hashes:
        spare = self._spare
        found ^= np.uint32(size)
        for right, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
            np.right_shift(found, np.uint32(right), out=spare)
            np.bitwise_xor(found, spare, out=found)
            if factor != 1:
                np.multiply(found, np.uint32(factor), out=found)
        return found


def _mix(block: Hashes, spare: Hashes) -> None:
    np.multiply(block, np.uint32(_C1), out=block)
    _rotate(block, 15, spare)
    np.multiply(block, np.uint32(_C2), out=block)


def _rotate(words: Hashes, by: int, spare: Hashes) -> None:
    np.left_shift(words, np.uint32(by), out=spare)
    np.right_shift(words, np.uint32(32 - by), out=words)
    np.bitwise_or(words, spare, out=words)


def _state(blocks: bytes) -> int:
    """The state after whole blocks, from seed 0."""
    state = 0
    for start in range(0, len(blocks), 4):
        block = int.from_bytes(blocks[start : start + 4], "little") * _C1 & _WORD
        state ^= ((block << 15 | block >> 17) & _WORD) * _C2 & _WORD
        state = ((state << 13 | state >> 19) & _WORD) * 5 + _N & _WORD
    return state
