"""Claims about a study: ``variant.metric > other.metric + 0.01``. Nothing is evaluated as code."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sapiens.metainfo.naming import near

__all__ = ['Check', 'Term', 'parse_check']

# Names of variants hold '-', '+' and '.', so operators stand between spaces.
COMPARISONS = ('>', '<')
SIGNS = {'+': 1.0, '-': -1.0}
NUMBER = re.compile(r'[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?')


@dataclass(frozen=True)
class Term:
    """A summand: ``factor`` times the metric of a variant, or the factor alone where there is none."""

    factor: float
    variant: str | None = None
    metric: str | None = None


@dataclass(frozen=True)
class Check:
    """The claim that a sum is above 0.

    Attributes:
        text: as it was written.
        terms: of the sum: left side minus right side for ``>``, the opposite for ``<``.
    """

    text: str
    terms: Sequence[Term]

    @property
    def variants(self) -> list[str]:
        """Names of the variants in it."""
        return list(dict.fromkeys(term.variant for term in self.terms if term.variant is not None))

    def difference(self, value: Callable[[str, str], float | None]) -> float | None:
        """The sum for one seed, None where a value is missing.

        Args:
            value: (variant, metric) -> value.
        """
        total = 0.0
        for term in self.terms:
            found = 1.0 if term.variant is None else value(term.variant, term.metric)
            if found is None:
                return None
            total += term.factor * found
        return total


def parse_check(text: str, variants: Sequence[str], metrics: Sequence[str]) -> Check:
    """Read a claim: two sums of ``variant.metric``, ``number * variant.metric`` and numbers, with ``>`` or ``<`` in between.

    Raises:
        ValueError: another form, or an unknown name.
    """
    words = str(text).split()
    places = [index for index, word in enumerate(words) if word in COMPARISONS]
    if len(places) != 1 or not 0 < places[0] < len(words) - 1:
        raise ValueError(
            f'check {text!r}: expected one > or < between two sums, with spaces around each operator, such as '
            "'a.AP > b.AP + 0.01'"
        )
    place = places[0]
    left, right = (_parse_sum(part, text, variants, metrics) for part in (words[:place], words[place + 1 :]))
    if words[place] == '<':
        left, right = right, left
    check = Check(text, (*left, *(Term(-term.factor, term.variant, term.metric) for term in right)))
    if not check.variants:
        raise ValueError(f"check {text!r} names no variant: expected a claim such as 'a.AP > b.AP + 0.01'")
    return check


def _parse_sum(words: Sequence[str], text: str, variants: Sequence[str], metrics: Sequence[str]) -> list[Term]:
    terms, sign, rest = [], 1.0, list(words)
    while rest:
        factor = 1.0
        word = rest.pop(0)
        if NUMBER.fullmatch(word):
            factor = float(word)
            if rest and rest[0] == '*' and len(rest) > 1:
                word = rest[1]
                rest = rest[2:]
            else:
                word = ''
        variant, metric = _split(word, text, variants, metrics) if word else (None, None)
        terms.append(Term(sign * factor, variant, metric))
        if rest:
            sign = SIGNS.get(rest.pop(0), 0.0)
            if not sign or not rest:
                raise ValueError(f'check {text!r}: expected + or - and another term after {word or factor}')
    return terms


def _split(word: str, text: str, variants: Sequence[str], metrics: Sequence[str]) -> tuple[str, str]:
    """Split ``decay-0.85.AP`` into a variant and a metric."""
    for variant in sorted(variants, key=len, reverse=True):
        if word.startswith(f'{variant}.'):
            metric = word.removeprefix(f'{variant}.')
            if metric not in metrics:
                raise ValueError(
                    f'check {text!r}: {metric!r} is not in metrics{near(metric, list(metrics))} ({", ".join(metrics)})'
                )
            return variant, metric
    name = word.rpartition('.')[0] or word
    raise ValueError(
        f'check {text!r}: no variant {name!r}{near(name, list(variants))} (variants: {", ".join(variants)})'
    )
