"""Check the data of a config before training: problem counts by type, with examples.

All data: missing and unreadable images, images in both the training and the held-out set.
Keypoints: empty boxes, boxes and keypoints outside the image, wrong numbers of keypoints, repeated ids, wrong flip pairs, and
with --split val or test what the metric would refuse.
Label maps, depth and normals: files without a partner, ids of no class, maps without a labeled pixel, sizes that differ from
the image, depth of people at or below 0, normals that are not unit vectors or face away from the camera, masks without people.
Label files are read for a hundred samples, with --images for all.

Some samples then run through the pipeline, and the keypoints inside the crop or the labeled pixels are counted.

The exit status is 1 if there is a problem, and 2 if there are no data. Notes (crowds, people without keypoints, which training
skips) do not count.

Examples:
    sapiens check configs/pose/sapiens_0.3b_coco-1024x768.py
    sapiens check CONFIG --split val --images        # also decode every file: minutes to hours
    sapiens check CONFIG --samples 500 --cfg-options train_dataloader.dataset.data_root=my_data
"""

import sys
import time
from types import SimpleNamespace

from tqdm import tqdm

from sapiens.datasets import Draw
from sapiens.datasets.checks import Findings, check_overlap, check_samples
from sapiens.datasets.draw import hash63
from sapiens.datasets.statistics import statistics_of
from sapiens.engine.hooks.data_check import check_names, split_by_task
from sapiens.metainfo import get_skeleton
from sapiens.registry import DATASETS, METRICS, MODELS
from sapiens.tasks import task_of
from sapiens.utils.cli import add_dataset_arguments, tool_parser
from sapiens.utils.config import load_config


def build(cfg, split: str, otherwise: str = ''):
    """The split's dataset, or None with the reason printed. Without data FileNotFoundError, unless ``otherwise`` says what is
    left out then."""
    try:
        return DATASETS.build(cfg[f'{split}_dataloader'].dataset)
    except (FileNotFoundError, ValueError) as error:
        if isinstance(error, FileNotFoundError) and not otherwise:
            raise
        print(f'{otherwise}{split}: {error}')
        return None


def parts_of(cfg, split: str, dataset) -> dict:
    """(model, dataset, metrics) of each task by name; of a config of one task under None.

    Raises:
        ValueError: data for other tasks than the model's.
    """
    metrics, parts = cfg.get(f'{split}_evaluator'), split_by_task(cfg.model, dataset, split)
    if not parts:
        return {None: (cfg.model, dataset, metrics or [])}
    return {name: (model, part.dataset, (metrics or {}).get(name, [])) for name, (model, part) in parts.items()}


def refused(model, split: str, dataset, metrics) -> bool:
    """Whether the model has other classes or keypoints than the data, or a metric refuses its files; prints the reason.

    Raises FileNotFoundError where a metric has no file.
    """
    try:
        named = SimpleNamespace()
        if 'task' in model:
            named.task = MODELS.build(model.task)
        if 'skeleton' in model:
            named.skeleton = get_skeleton(model.skeleton)
        check_names(named, dataset, split)
        for metric in metrics if isinstance(metrics, list | tuple) else [metrics]:
            METRICS.build(metric)
    except ValueError as error:
        print(f'{split}: {error}')
        return True
    return False


def bar(title: str):
    """Wrap an iterable in a progress bar on a terminal."""
    return lambda items: tqdm(items, desc=title, disable=not sys.stderr.isatty(), leave=False)


def table(findings: Findings) -> str:
    lines = []
    for what, finding in sorted(findings.items(), key=lambda item: not item[1].wrong):
        lines.append(f'  {"WRONG" if finding.wrong else "     "} {finding.count:9d}  {what}')
        lines += [f'{" " * 20}{example}' for example in (finding.examples if finding.wrong else ())]
        if finding.wrong and finding.count > len(finding.examples):
            lines.append(f'{" " * 20}...')
    return '\n'.join(lines) or '        nothing was found'


def main(argv: list[str] | None = None) -> int:
    parser = tool_parser(__doc__, first=('--split', '--samples', '--images', '--cfg-options'))
    add_dataset_arguments(parser, 100, 'run through the pipeline')
    text = 'decode every image and its labels, and compare their sizes with the stated ones'
    parser.add_argument('--images', action='store_true', help=text)
    args = parser.parse_args(argv)

    cfg = load_config(args.config, args.cfg_options)
    begin = time.time()
    dataset = build(cfg, args.split)
    if dataset is None:
        return 1
    parts, second = parts_of(cfg, args.split, dataset), 'val' if args.split == 'train' else 'train'
    other = build(cfg, second, 'Shared images are not looked for. ')
    others = parts_of(cfg, second, other) if other is not None else {}
    print(f'{args.split}: {dataset}, read in {time.time() - begin:.1f} s')
    wrong = False
    for name, (model, part, metrics) in parts.items():
        if name is not None:
            print(f'\n{name}: {part}')
        held_out = others[name][1] if others else None
        wrong |= check(args, model, part, metrics, held_out)
    return int(wrong)


def check(args, model, dataset, metrics, other) -> bool:
    """Check the data of a task, print what is found, and return whether something is wrong."""
    if refused(model, args.split, dataset, metrics):
        return True
    if not hasattr(dataset, 'check'):
        print(f'{type(dataset).__name__} cannot be checked: it has no files that are known beforehand')
        return False
    findings = Findings()
    dataset.check(findings, read=args.images, progress=bar('images'))
    if other is not None:
        check_overlap(findings, dataset, other, bar('overlap'))
    print(table(findings))
    # Spread over the dataset, each with the augmentation that a run would draw.
    count = min(args.samples, len(dataset))
    draws = [Draw(i * len(dataset) // count, hash63(args.seed, i)) for i in range(count)]
    sampled = Findings()
    print(check_samples(sampled, dataset, draws, statistics_of(task_of(model)), bar('samples')))
    if sampled:
        print(table(sampled))
    return findings.wrong + sampled.wrong > 0
