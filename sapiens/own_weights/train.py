"""Rendering, training, evaluation and packing of own weights within minutes of the clock; the next call goes on."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sapiens import weights
from sapiens.checkpoints import Entry
from sapiens.utils.files import write_atomically
from sapiens.utils.stop_signals import STOPPED

from .pack import Packed, pack
from .recipes import VAL_PEOPLE, length_options, recipe_of, render_arguments

__all__ = ['OwnTraining', 'newest_iteration']

GRACE = 120  # seconds for a stopped process to write its checkpoint
RESERVE, LEAST_RESERVE, MOST_RESERVE = 0.1, 20, 300  # of the time, and seconds: for evaluation and packing


@dataclass
class OwnTraining:
    """The steps from nothing to packed weights. Each is skipped when it is done, and goes on where it was stopped.

    Args:
        entry: of the weights.
        work_dir: of people, pretraining, training and ``state.json``. Weights that share people share the first two.
        backgrounds: folder of photographs without people.
        backgrounds_from: where they come from and their license, for the card.
        people, iterations, pretraining_iterations, val_people, batch: see :class:`.recipes.Recipe`; None takes its numbers.
        from_shipped: start from the packed weights of this name instead of a pretraining.
        out: folder of the packed files; None for that of the package.
        encoder: see :func:`.pack.pack`.
        scores: more scores for the card, by name.
        amp: train in bf16 on a CPU too.
        say: takes a line for each step.

    Raises:
        ValueError: numbers other than those that the work dir was started with.
    """

    entry: Entry
    work_dir: Path
    backgrounds: Path
    backgrounds_from: str
    people: int | None = None
    iterations: int | None = None
    pretraining_iterations: int | None = None
    val_people: int = VAL_PEOPLE
    batch: int | None = None
    from_shipped: bool = False
    out: Path | None = None
    encoder: str | None = None
    scores: Mapping[str, Any] = field(default_factory=dict)
    amp: bool = False
    say: Callable[[str], None] = print

    def __post_init__(self) -> None:
        recipe = self.recipe = recipe_of(self.entry)
        self.people = recipe.number if self.people is None else self.people
        self.iterations = recipe.iterations if self.iterations is None else self.iterations
        if self.pretraining_iterations is None:
            self.pretraining_iterations = recipe.pretraining_iterations
        self.root = self.work_dir.resolve() / recipe.folder
        self.folder = self.work_dir.resolve() / self.entry.name
        self.state_file = self.folder / 'state.json'
        self.state = self._read_state()

    # ------------------------------------------------------------------ steps

    def run(self, minutes: float) -> Packed | None:
        """Go on for minutes of the clock. Returns the packed weights; None before the first checkpoint of the training."""
        begin = time.monotonic()
        reserve = min(max(RESERVE * 60 * minutes, LEAST_RESERVE), MOST_RESERVE)
        self.deadline = begin + 60 * minutes - reserve
        self.prepare()
        steps = [
            *((f'people for {split}', render_arguments(self.recipe, split, str(self.root), number))
              for split, number in (('val', self.val_people), ('train', self.people))),
            *([] if self.from_shipped or not self.pretraining_iterations else [('pretraining', self.pretraining_arguments())]),
            ('training', self.training_arguments()),
        ]  # fmt: skip
        for name, arguments in steps:
            if not self._is_done(name) and not self._step(name, arguments):
                break
        reached = newest_iteration(self.folder / 'run')
        if reached is None:
            self.say(f'{self.entry.name}: no checkpoint of the training yet; the same command goes on')
            return None
        iteration, checkpoint = reached
        self.say(f'{self.entry.name}: {iteration} of {self.iterations} iterations')
        return self.pack(checkpoint)

    def prepare(self) -> None:
        """Make the folders, and the link to the photographs that the config reads."""
        link = self.root / 'backgrounds' / 'train'
        link.parent.mkdir(parents=True, exist_ok=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        target = self.backgrounds.resolve()
        if link.is_symlink() and link.resolve() != target:
            link.unlink()
        if not link.exists():
            link.symlink_to(target, target_is_directory=True)

    def pretraining_arguments(self) -> list[str]:
        options = length_options(self.pretraining_iterations, True)
        return self._train(self.recipe.pretraining, self.root / 'pretraining', options)

    def training_arguments(self) -> list[str]:
        start = self.entry.name
        if not self.from_shipped:
            start = str(self.root / 'pretraining' / f'iter_{self.pretraining_iterations}.pth')
        options = length_options(self.iterations, False, self.batch)
        if self.from_shipped or self.pretraining_iterations:
            options.append(f'load_from={start}')
        return self._train(self.entry.config, self.folder / 'run', options)

    def pack(self, checkpoint: Path) -> Packed:
        """Evaluate a checkpoint on the held-out people, and pack it with its card."""
        scores = self.folder / 'scores.json'
        self._call(
            ['test', self.entry.config, str(checkpoint), '--work-dir', str(self.folder / 'test'), '--out', str(scores)]
        )
        about = dict(
            made_from={
                'people': f'{self.people} rendered by this package, seed 10: CC0-1.0',
                'photographs behind them': self.backgrounds_from,
            },
            commands=self.state['commands'],
            commit=commit(),
            hours={name: round(seconds / 3600, 2) for name, seconds in self.state['seconds'].items()}
            | {'on': about_machine()},
            scores={f'{self.val_people} rendered people, seed 11': json.loads(scores.read_text())} | dict(self.scores),
            limits=self.recipe.limits,
        )
        folder = weights.weights_folder() if self.out is None else self.out
        return pack(self.entry.name, checkpoint, about, self.encoder, folder, self.say)

    # ------------------------------------------------------------------ processes

    def _train(self, config: str, work_dir: Path, options: Sequence[str]) -> list[str]:
        return [
            *('train', config, '--work-dir', str(work_dir), '--resume'),
            *(['--amp'] if self.amp else []),
            *('--cfg-options', *options),
        ]

    def _step(self, name: str, arguments: Sequence[str]) -> bool:
        """Run a command until it ends or the time is up. Returns whether it ended."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            self.say(f'{name}: the time is up; the same command goes on')
            return False
        self.say(f'{name}: {left / 60:.1f} minutes left')
        command = f'DATA_ROOT={self.recipe.folder} sapiens {" ".join(arguments)}'.replace(
            str(self.work_dir.resolve()), 'WORK'
        )
        if command not in self.state['commands']:
            self.state['commands'].append(command)
        begin = time.monotonic()
        is_done = self._call(arguments, left)
        self.state['seconds'][name] = self.state['seconds'].get(name, 0.0) + time.monotonic() - begin
        if is_done:
            self.state['done'].append(name)
        self._write_state()
        return is_done

    def _call(self, arguments: Sequence[str], seconds: float | None = None) -> bool:
        """Run a command, and stop it after so many seconds. Returns whether it ended by itself.

        Raises:
            SystemExit: it failed.
        """
        environment = dict(os.environ, DATA_ROOT=str(self.root))
        process = subprocess.Popen([sys.executable, '-m', 'sapiens.commands', *arguments], env=environment)
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)  # a training writes a checkpoint, a rendering what it has
            try:
                status = process.wait(GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                status = process.wait()
            if status and status not in STOPPED and status not in (-signal.SIGTERM, -signal.SIGKILL, 130):
                sys.exit(status)
            return status == 0 and arguments[0] == 'render' and self._all_rendered(arguments)
        except BaseException:
            process.terminate()
            process.wait()
            raise
        if status:
            sys.exit(status)
        return True

    @staticmethod
    def _all_rendered(arguments: Sequence[str]) -> bool:
        card = Path(arguments[arguments.index('--out') + 1]) / 'dataset_card.json'
        number = int(arguments[arguments.index('--num') + 1])
        return card.is_file() and json.loads(card.read_text()).get('images', 0) >= number

    # ------------------------------------------------------------------ state

    def _is_done(self, name: str) -> bool:
        if name == 'pretraining':  # other weights may have made it
            return (self.root / 'pretraining' / f'iter_{self.pretraining_iterations}.pth').exists()
        return name in self.state['done']

    def _read_state(self) -> dict[str, Any]:
        numbers = dict(
            people=self.people, iterations=self.iterations, val_people=self.val_people, from_shipped=self.from_shipped
        )
        if not self.state_file.is_file():
            return dict(numbers=numbers, commands=[], seconds={}, done=[])
        state = json.loads(self.state_file.read_text(encoding='utf-8'))
        for name, value in numbers.items():
            if state['numbers'][name] != value:
                raise ValueError(
                    f'{self.state_file} was started with {name}={state["numbers"][name]}, not {value}: go on with that, or '
                    'choose another --work-dir'
                )
        return state

    def _write_state(self) -> None:
        write_atomically(self.state_file, json.dumps(self.state, indent=1) + '\n')


def newest_iteration(folder: Path) -> tuple[int, Path] | None:
    """Number and path of the newest checkpoint of a run; None before the first."""
    found = []
    for path in folder.glob('iter_*'):
        if match := re.fullmatch(r'iter_(\d+)(\.pth)?', path.name):
            found.append((int(match[1]), path))
    return max(found, default=None)


def commit() -> str:
    """The commit of the code, marked if files were changed; 'unknown' outside of a clone."""
    root = Path(__file__).parents[2]

    def git(*arguments: str) -> str:
        done = subprocess.run(['git', '-C', str(root), *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        return git('rev-parse', 'HEAD') + (' with changes' if git('status', '--porcelain') else '')
    except (OSError, subprocess.CalledProcessError):
        return 'unknown'


def about_machine() -> str:
    """The accelerator, or the number of cores."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f'{os.cpu_count()} cores'
