"""The words of headlines as integers, decided by the texts alone."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

_WORD: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+(?:['’][^\W_]+)?")

PADDING: Final = 0
UNKNOWN: Final = 1


def words(text: str) -> list[str]:
    """The lowercase words of a text; each Chinese character or kana is a word of its own.

    >>> words("You Won't believe 深度学习!")
    ['you', "won't", 'believe', '深', '度', '学', '习']
    """
    return [word.replace("’", "'") for word in _WORD.findall(text.lower())]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Words by number: word i of `words` is number i + 2; 0 is padding, 1 any other word."""

    words: tuple[str, ...]

    @classmethod
    def of(cls, texts: Sequence[str], *, most: int, least_count: int = 2) -> "Vocabulary":
        """The `most` most frequent words that occur `least_count` times or more; ties in alphabetical order."""
        counts = Counter(word for text in texts for word in words(text))
        frequent = sorted((word for word, count in counts.items() if count >= least_count))
        frequent.sort(key=lambda word: -counts[word])
        return cls(tuple(frequent[:most]))

    def __len__(self) -> int:
        return len(self.words) + 2

    def encode(self, texts: Sequence[str], *, length: int) -> NDArray[np.int32]:
        """The first `length` words of each text: (len(texts), length) int32, padded with 0 at the end."""
        number = {word: row + 2 for row, word in enumerate(self.words)}
        tokens = np.full((len(texts), length), PADDING, dtype=np.int32)
        for row, text in enumerate(texts):
            encoded = [number.get(word, UNKNOWN) for word in words(text)[:length]]
            tokens[row, : len(encoded)] = encoded
        return tokens
