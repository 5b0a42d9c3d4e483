"""Rendering, training, evaluation and packing of own weights within minutes of the clock; the next call goes on."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sapiens import weights
from sapiens.checkpoints import Entry
from sapiens.utils.files import atomic_path, write_atomically
from sapiens.utils.launcher_watch import STOP_WITH_PARENT
from sapiens.utils.stop_signals import STOPPED

from .calibrate import calibrate_boxes, calibrate_keypoints
from .pack import Packed, pack
from .photographs import NONE, check_photographs
from .recipes import JOINT_CONFIG, VAL_PEOPLE, Group, People, length_options, recipe_of, render_arguments
from .shared import SUBSET, join_shipped, joint_checkpoint, refuse_too_much, single_checkpoint

__all__ = ['OwnTraining', 'has_fast_bf16', 'newest_iteration', 'render_device']

GRACE = 120  # seconds for a stopped process to write its checkpoint
RESERVE, LEAST_RESERVE, MOST_RESERVE = 0.1, 20, 300  # of the time, and seconds: for evaluation and packing
ROOT = Path(__file__).parents[2]
KINDS = {'pose': 'keypoints', 'person': 'boxes'}  # task -> its samples from photographs of people
HISTORY = 'made_from', 'commands', 'commit', 'hours'  # of a card, and in that of weights that go on from it


@dataclass
class OwnTraining:
    """The steps from nothing to packed weights. Each is skipped when it is done, and goes on where it was stopped.

    Args:
        what: entry of the weights, or a group of weights on one encoder.
        work_dir: of people, pretraining, training and ``state.json``. Weights that share people share the first two.
        backgrounds: folder of photographs without people.
        backgrounds_from: where they come from and their license, for the card.
        people, iterations, pretraining_iterations, keypoints_iterations, val_people, batch: see :class:`.recipes.Recipe`; None
            takes its numbers. ``people`` is the number of single ones for all weights; that of the other images is in
            proportion.
        from_shipped: start from the packed weights instead of the stages before the training.
        photographs: folder of photographs with people, see :func:`.photographs.check_photographs`; None for none.
        out: folder of the packed files; None for that of the package.
        encoder: see :func:`.pack.pack`.
        scores: more scores for the card, by name.
        amp: train in bf16; None where the machine is fast in it (:func:`has_fast_bf16`).
        say: takes a line for each step.

    Raises:
        FileNotFoundError: ``from_shipped`` without the weights in the package.
        ValueError: numbers other than those that the work dir was started with; photographs that may not be trained on.
    """

    what: Entry | Group
    work_dir: Path
    backgrounds: Path
    backgrounds_from: str
    people: int | None = None
    iterations: int | None = None
    pretraining_iterations: int | None = None
    keypoints_iterations: int | None = None
    val_people: int = VAL_PEOPLE
    batch: int | None = None
    from_shipped: bool = False
    photographs: Path | None = None
    out: Path | None = None
    encoder: str | None = None
    scores: Mapping[str, Any] = field(default_factory=dict)
    amp: bool | None = None
    say: Callable[[str], None] = print

    def __post_init__(self) -> None:
        recipe = self.recipe = recipe_of(self.what)
        self.name, self.config = self.what.name, self.what.config
        self.group = self.what if isinstance(self.what, Group) else None
        self.entries = self.group.entries if self.group else (self.what,)
        number = next(iter(recipe.people.values())).number
        self.people = number if self.people is None else self.people
        self.share = self.people / number
        self.iterations = recipe.iterations if self.iterations is None else self.iterations
        if self.pretraining_iterations is None:
            self.pretraining_iterations = recipe.pretraining_iterations
        if self.keypoints_iterations is None or not recipe.keypoints:
            self.keypoints_iterations = recipe.keypoints_iterations
        self.root = self.work_dir.resolve() / recipe.folder
        self.folder = self.work_dir.resolve() / self.name
        self.about_photographs = None
        if self.photographs is not None:
            self.photographs = self.photographs.resolve()
            self.about_photographs = check_photographs(self.photographs)
        self.state_file = self.folder / 'state.json'
        self.state = self._read_state()

    # ------------------------------------------------------------------ steps

    def run(self, minutes: float) -> list[Packed]:
        """Go on for minutes of the clock. Returns the packed weights; none before the first checkpoint of the training."""
        begin = time.monotonic()
        reserve = min(max(RESERVE * 60 * minutes, LEAST_RESERVE), MOST_RESERVE) * (1 if len(self.entries) == 1 else 2)
        self.deadline = begin + 60 * minutes - reserve
        self.prepare()
        if self.amp is None:
            self.amp = has_fast_bf16()
            how = (
                'bf16, in which this machine is fast (--no-amp for fp32)'
                if self.amp
                else 'fp32: it is not fast in bf16'
            )
            self.say(f'{self.name}: training in {how}')
        steps: list[tuple[str, Callable[[], list[str]]]] = [
            *((name, lambda arguments=arguments: arguments) for name, arguments in self.render_steps()),
            *([('pretraining', self.pretraining_arguments)] if self._has('pretraining') else []),
            *([('keypoints', self.keypoints_arguments)] if self._has('keypoints') else []),
            ('training', self.training_arguments),
        ]
        for name, arguments in steps:
            if not self._is_done(name) and not self._step(name, arguments()):
                break
        reached = newest_iteration(self.folder / 'run')
        if reached is None:
            self.say(f'{self.name}: no checkpoint of the training yet; the same command goes on')
            return []
        iteration, checkpoint = reached
        self.say(f'{self.name}: {iteration} of {self.iterations} iterations')
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

    def render_steps(self) -> list[tuple[str, list[str]]]:
        """Names and arguments of the renderings, the people to evaluate on first."""
        steps = []
        for split in ('val', 'train'):
            for folder, people in self.recipe.people.items():
                number = self.val_people if split == 'val' else self._images(people)
                name = (
                    f'people for {split}' if not steps or not folder.startswith('several') else f'groups for {split}'
                )
                made = self.root / folder
                steps.append((name, render_arguments(people, split, str(made), number, render_device(made / split))))
        return steps

    def _images(self, people: People) -> int:
        return max(1, round(self.share * people.number))

    def pretraining_arguments(self) -> list[str]:
        options = length_options(self.pretraining_iterations, True, self.batch)
        return self._train(self.recipe.pretraining, self.root / 'pretraining', options)

    def keypoints_arguments(self) -> list[str]:
        options = length_options(self.keypoints_iterations, False, self.batch)
        if self._has('pretraining'):
            options.append(f'load_from={self._pretrained}')
        return self._train(self.recipe.keypoints, self.folder / 'keypoints', options)

    def training_arguments(self) -> list[str]:
        options = length_options(self.iterations, False, self.batch, draws=self.config != JOINT_CONFIG)
        if self.from_shipped:
            if self.config == JOINT_CONFIG:
                start = str(join_shipped(self.entries, self.folder / 'shipped.pth', self.say))
            else:
                start = next(entry.name for entry in self.entries if entry.config == self.config)
            options.append(f'load_from={start}')
        elif self._has('keypoints'):
            learned = self.folder / 'keypoints' / f'iter_{self.keypoints_iterations}.pth'
            options.append(f'load_from={joint_checkpoint(learned, "pose", self.folder / "keypoints.pth")}')
        elif self._has('pretraining'):
            options.append(f'load_from={self._pretrained}')
        return self._train(self.config, self.folder / 'run', options)

    def _has(self, stage: str) -> bool:
        return not self.from_shipped and getattr(self, f'{stage}_iterations') > 0

    @property
    def _pretrained(self) -> Path:
        return self.root / 'pretraining' / f'iter_{self.pretraining_iterations}.pth'

    def pack(self, checkpoint: Path) -> list[Packed]:
        """Evaluate a checkpoint on the held-out people, and pack it with its card.

        The weights of a group are packed beside the former ones, and replace them together.
        """
        folder = weights.weights_folder() if self.out is None else self.out
        if self.group is None:
            (entry,) = self.entries
            checkpoint, about = self.evaluate(entry, checkpoint)
            return [pack(entry.name, checkpoint, about, self.encoder, folder, self.say)]
        made, packed, self._factor = self.folder / 'packed', [], None
        shutil.rmtree(made, ignore_errors=True)
        for entry in self.entries:
            single = single_checkpoint(checkpoint, entry, self.folder / 'single' / f'{entry.name}.pth')
            single, about = self.evaluate(entry, single)
            packed.append(pack(entry.name, single, about, self.encoder or self.group.encoder, made, self.say))
        refuse_too_much(made)
        folder.mkdir(parents=True, exist_ok=True)
        for path in made.iterdir():
            with atomic_path(folder / path.name) as temporary:
                shutil.copyfile(path, temporary)
        return [replace(one, weights=folder / one.weights.name, card=folder / one.card.name) for one in packed]

    def evaluate(self, entry: Entry, checkpoint: Path) -> tuple[Path, dict[str, Any]]:
        """Score a checkpoint on the held-out people. Its own scores, of boxes and keypoints, are calibrated first.

        Returns:
            The checkpoint to pack, and what its card says: the scores, and how the weights were made.
        """
        scores = self.folder / 'scores' / f'{entry.name}.json'
        scores.parent.mkdir(parents=True, exist_ok=True)
        root, calibration = self.root, {}
        calibrated = self.folder / 'calibrated' / f'{entry.name}.pth'
        calibrated.parent.mkdir(parents=True, exist_ok=True)
        if entry.task == 'person':
            root = self.root / 'several' if self.group else self.root
            checkpoint, threshold = self._calibrate_boxes(checkpoint, entry, root / 'synthetic/val', calibrated)
            calibration['threshold of the best F1 before calibration'] = round(threshold, 4)
        if entry.task == 'pose':
            # Weights of one training have the same layer.
            factor = self._factor if self.group else None
            checkpoint, self._factor = self._calibrate_keypoints(
                checkpoint, entry, root / 'synthetic/val', calibrated, factor
            )
            calibration['factor of the logits by calibration'] = round(self._factor, 4)
        work_dir = str(self.folder / 'test')
        self._call(['test', entry.config, str(checkpoint), '--work-dir', work_dir, '--out', str(scores)], root=root)
        photographs = {}
        if self.about_photographs is not None:
            share = self.about_photographs['share']
            if self.config != JOINT_CONFIG:
                share = {kind: share[kind] for task, kind in KINDS.items() if task == entry.task}
            photographs['photographs of people'] = self.about_photographs | dict(share=share)
        before = self.state.get('before', {}).get(entry.name)
        images = [f'{self._images(people)} images ({people.options})' for people in self.recipe.people.values()]
        about = dict(
            made_from={
                'people': f'{" and ".join(images)} rendered by this package, seed 10: CC0-1.0',
                'photographs behind them': self.backgrounds_from,
                **photographs,
                **({'weights before': before} if before else {}),
            },
            commands=self.state['commands'],
            commit=commit(),
            hours={name: round(seconds / 3600, 2) for name, seconds in self.state['seconds'].items()}
            | {'on': about_machine()},
            scores={f'{self.val_people} rendered people, seed 11': json.loads(scores.read_text())}
            | calibration
            | dict(self.scores),
            limits=recipe_of(entry).limits,
        )
        return checkpoint, about

    # ------------------------------------------------------------------ processes

    def _train(self, config: str, work_dir: Path, options: Sequence[str]) -> list[str]:
        return [
            *('train', config, '--work-dir', str(work_dir), '--resume'),
            *(['--amp'] if self.amp else []),
            *('--cfg-options', *options, *([] if self.amp else ['optim_wrapper.precision=fp32'])),
        ]

    def _step(self, name: str, arguments: Sequence[str]) -> bool:
        """Run a command until it ends or the time is up. Returns whether it ended."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            self.say(f'{name}: the time is up; the same command goes on')
            return False
        self.say(f'{name}: {left / 60:.1f} minutes left')
        variables = f'DATA_ROOT={self.recipe.folder}{"" if self.photographs is None else " PHOTOGRAPHS=photographs"}'
        command = f'{variables} sapiens {" ".join(arguments)}'.replace(str(self.work_dir.resolve()), 'WORK')
        if command not in self.state['commands']:
            self.state['commands'].append(command)
        begin = time.monotonic()
        try:
            is_done = self._call(arguments, left)
            if is_done:
                self.state['done'].append(name)
        finally:  # the card counts the time of a step that a signal stopped, too
            self.state['seconds'][name] = self.state['seconds'].get(name, 0.0) + time.monotonic() - begin
            self._write_state()
        return is_done

    def _call(self, arguments: Sequence[str], seconds: float | None = None, root: Path | None = None) -> bool:
        """Run a command, and stop it after so many seconds. Returns whether it ended by itself.

        Args:
            root: $DATA_ROOT, if it is not that of the training.

        Raises:
            SystemExit: it failed.
        """
        photographs = NONE if self.photographs is None else str(self.photographs)
        environment = dict(os.environ, DATA_ROOT=str(root or self.root), PHOTOGRAPHS=photographs)
        environment[STOP_WITH_PARENT] = str(os.getpid())
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

    _calibrate_boxes = staticmethod(calibrate_boxes)
    _calibrate_keypoints = staticmethod(calibrate_keypoints)
    _factor = None

    @staticmethod
    def _all_rendered(arguments: Sequence[str]) -> bool:
        card = Path(arguments[arguments.index('--out') + 1]) / 'dataset_card.json'
        number = int(arguments[arguments.index('--num') + 1])
        return card.is_file() and json.loads(card.read_text()).get('images', 0) >= number

    # ------------------------------------------------------------------ state

    def _is_done(self, name: str) -> bool:
        if name == 'pretraining':  # other weights may have made it
            return self._pretrained.exists()
        return name in self.state['done']

    def _read_state(self) -> dict[str, Any]:
        numbers = dict(
            people=self.people,
            iterations=self.iterations,
            keypoints_iterations=self.keypoints_iterations,
            val_people=self.val_people,
            from_shipped=self.from_shipped,
        )
        if not self.state_file.is_file():
            return dict(numbers=numbers, commands=[], seconds={}, done=[], before=self._read_former_cards())
        state = json.loads(self.state_file.read_text(encoding='utf-8'))
        for name, value in numbers.items():
            if state['numbers'].get(name, value) != value:
                raise ValueError(
                    f'{self.state_file} was started with {name}={state["numbers"][name]}, not {value}: go on with that, or '
                    'choose another --work-dir'
                )
        return state

    def _read_former_cards(self) -> dict[str, dict[str, Any]]:
        """How the weights were made that the training starts from, by name of those that it makes. Packing replaces their cards.

        The smaller sets of keypoints of a group start from the largest one, and the model of all tasks from its encoder.
        """
        if not self.from_shipped:
            return {}
        starts = {
            entry.name: SUBSET.get(entry.name, entry.name) if self.group else entry.name for entry in self.entries
        }
        cards = {start: weights.read_card(start) for start in starts.values()}
        made = {start: {key: card[key] for key in HISTORY if key in card} for start, card in cards.items()}
        before = {name: dict(made[start]) for name, start in starts.items()}
        if self.config == JOINT_CONFIG:
            encoder = next(made[name] for name in SUBSET.values())
            for row in before.values():
                row.update({} if row == encoder else {'encoder': encoder})
        return before

    def _write_state(self) -> None:
        write_atomically(self.state_file, json.dumps(self.state, indent=1) + '\n')


def has_fast_bf16() -> bool:
    """Whether a GPU is there, or the CPU multiplies in bf16 (AVX512-BF16 or AMX)."""
    import torch

    known = (getattr(torch.cpu, f'_is_{name}_supported', None) for name in ('avx512_bf16', 'amx_tile'))
    return torch.cuda.is_available() or any(ask() for ask in known if ask is not None)


def render_device(folder: Path) -> str:
    """Where rays are cast: 'cuda' on a GPU, and for images that were begun with the other one what they were begun with."""
    import torch

    card = folder / 'dataset_card.json'
    if card.is_file():
        return json.loads(card.read_text(encoding='utf-8'))['options'].get('device', 'cpu')
    return 'cuda' if torch.cuda.is_available() else 'cpu'


def newest_iteration(folder: Path) -> tuple[int, Path] | None:
    """Number and path of the newest checkpoint of a run; None before the first."""
    found = []
    for path in folder.glob('iter_*'):
        if match := re.fullmatch(r'iter_(\d+)(\.pth)?', path.name):
            found.append((int(match[1]), path))
    return max(found, default=None)


def commit(root: Path = ROOT) -> str:
    """The commit of the code, marked if files other than packed weights were changed; 'unknown' outside of a clone."""

    def git(*arguments: str) -> str:
        done = subprocess.run(['git', '-C', str(root), *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        changed = git(
            'status', '--porcelain', '--', '.', *(f':!sapiens/weights/*.{end}' for end in ('safetensors', 'json'))
        )
        return git('rev-parse', 'HEAD') + (' with changes' if changed else '')
    except (OSError, subprocess.CalledProcessError):
        return 'unknown'


def about_machine() -> str:
    """The accelerator, or the number of cores."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f'{os.cpu_count()} cores'
