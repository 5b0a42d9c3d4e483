"""Look for what is wrong with the data of a config, before a training finds out: missing and unreadable images, and images that
are in the training and in the held-out set.

Of people with keypoints: boxes that are empty or reach out of their image, a wrong number of keypoints, keypoints outside of
their image, repeated ids, flip pairs that are none. Of label maps, depth and normals: files without a partner, ids that are no
class, maps without a labelled pixel, sizes that are not the image's, depth of people at or below 0, normals that are no unit
vectors or look away from the camera, masks without people; in a hundred samples, with --images in all.

Then run some samples through the pipeline, and count the keypoints that are left inside the crop, or the pixels whose labels
count.

The exit status is 1 if something is wrong, so that a job script can stop. What is only good to know (crowds, people without a
keypoint, which no training uses) is listed, but is not wrong.

Examples:
    python tools/misc/check_dataset.py configs/pose/sapiens_0.3b_coco-1024x768.py
    python tools/misc/check_dataset.py CONFIG --split val --images        # also decode every file: minutes to hours
    python tools/misc/check_dataset.py CONFIG --samples 500 --cfg-options train_dataloader.dataset.data_root=my_data
"""

import sys
import time

from tqdm import tqdm

from sapiens.datasets import Draw
from sapiens.datasets.checks import Findings, check_overlap, check_samples
from sapiens.datasets.draw import hash63
from sapiens.registry import DATASETS
from sapiens.utils.cli import tool_parser
from sapiens.utils.config import add_options_argument, load_config


def build(cfg, split: str, otherwise: str = ''):
    """The split's data set, or None with the reason printed."""
    try:
        return DATASETS.build(cfg[f'{split}_dataloader'].dataset)
    except (FileNotFoundError, ValueError) as error:
        print(f'{otherwise}{split}: {error}')
        return None


def bar(title: str):
    """Wraps an iterable in a progress bar, where somebody is looking."""
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
    parser = tool_parser(__doc__)
    parser.add_argument('config')
    parser.add_argument('--split', choices=['train', 'val', 'test'], default='train', help='default: %(default)s')
    parser.add_argument('--samples', type=int, default=100, help='to run through the pipeline; default: %(default)s')
    parser.add_argument(
        '--images',
        action='store_true',
        help='decode every image and its labels, and compare their sizes with the stated ones',
    )
    parser.add_argument('--seed', type=int, default=0, help='of the samples; default: %(default)s')
    add_options_argument(parser)
    args = parser.parse_args(argv)

    cfg = load_config(args.config, args.cfg_options)
    begin = time.time()
    dataset = build(cfg, args.split)
    if dataset is None:
        return 1
    print(f'{args.split}: {dataset}, read in {time.time() - begin:.1f} s')
    if not hasattr(dataset, 'check'):
        print(f'{type(dataset).__name__} cannot be checked: it has no files that are known beforehand')
        return 0
    findings = Findings()
    dataset.check(findings, read=args.images, progress=bar('images'))
    other = build(cfg, 'val' if args.split == 'train' else 'train', 'Shared images are not looked for. ')
    if other is not None:
        check_overlap(findings, dataset, other, bar('overlap'))
    print(table(findings))
    # Spread over the data set, each with the augmentation that a run would draw.
    count = min(args.samples, len(dataset))
    draws = [Draw(i * len(dataset) // count, hash63(args.seed, i)) for i in range(count)]
    sampled = Findings()
    print(check_samples(sampled, dataset, draws, bar('samples')))
    if sampled:
        print(table(sampled))
    return int(findings.wrong + sampled.wrong > 0)


if __name__ == '__main__':
    sys.exit(main())
