"""What data leave open: settled by an option, asked, or refused. Nothing is guessed in silence."""

from collections.abc import Callable, Mapping, Sequence

__all__ = ['Doubts']


class Doubts:
    """Settles doubts about data.

    Args:
        given: {name of an option, without dashes: its value} of those that were given.
        ask: ``ask(text) -> answer`` of a person; None to refuse instead of asking.
    """

    def __init__(self, given: Mapping[str, str], ask: Callable[[str], str] | None = None):
        self.given, self.ask, self.used = dict(given), ask, set()

    def get(self, option: str) -> str | None:
        """The value of an option, if it was given."""
        if option in self.given:
            self.used.add(option)
        return self.given.get(option)

    def settle(self, option: str, question: str, choices: Sequence[str] = (), example: str = '') -> str:
        """The answer to a question: the option's value, or what a person answers.

        Args:
            choices: the possible answers; () for any.
            example: of an answer, for the message.

        Raises:
            ValueError: no answer; the message has the question and the option. Or one that is not a choice.
        """
        answer = self.get(option)
        listing = f' ({" or ".join(choices)})' if choices else ''
        if answer is None and self.ask is None:
            raise ValueError(f'{question}{listing}. Say it with --{option} {example or "|".join(choices)}')
        while answer is None:
            answer = self.ask(
                f'{question}{listing}?{f" For example: {example}." if example else ""}\n--{option} '
            ).strip()
            if not answer or (choices and answer not in choices):
                answer = None
        if choices and answer not in choices:
            raise ValueError(f'--{option} {answer}: expected one of {", ".join(choices)}')
        self.given[option] = answer
        self.used.add(option)
        return answer

    def refuse_unused(self) -> None:
        """Raise ValueError for an option that had no effect on these data."""
        unused = [f'--{option} {value}' for option, value in self.given.items() if option not in self.used]
        if unused:
            raise ValueError(f'{", ".join(unused)} has no effect for these data: leave it out')
