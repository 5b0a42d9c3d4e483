"""Milliseconds of each transform that makes renderings more like photographs, for one sample on one core.

    python tools/benchmark/photographs.py --root DATA [--config pose/sapiens_tiny_free17-128x96]

DATA has synthetic/train and backgrounds/train, as the configs of the package's weights read them (docs/weights.md). Each step
of the training pipeline is applied to the same samples as the pipeline gives them to it, with probability 1 where it has one, and
with its own probability ("expected", what it costs on average). The median over the samples counts; a first pass, which reads the
kept photographs and people, does not. Times are CPU times of the process. A config of several tasks has a table for each of its
datasets.
"""

import copy
import os

import numpy as np
from harness import cpu_seconds, use_one_thread
from prettytable import PrettyTable

from sapiens.datasets.transforms import Rejected
from sapiens.registry import DATASETS, TRANSFORMS
from sapiens.utils.cli import positive, tool_parser
from sapiens.utils.config import load_config


def parse_args():
    parser = tool_parser(__doc__)
    parser.add_argument('--root', required=True, metavar='DIR', help='the data folder')
    parser.add_argument('--config', default='pose/sapiens_tiny_free17-128x96', help='default: %(default)s')
    parser.add_argument('--samples', type=positive, default=100, help='default: %(default)s')
    return parser.parse_args()


def copied(sample: dict) -> dict:
    """A sample whose arrays may be changed."""
    return {key: value.copy() if isinstance(value, np.ndarray) else copy.copy(value) for key, value in sample.items()}


def main() -> None:
    args = parse_args()
    os.environ['DATA_ROOT'] = args.root
    use_one_thread()
    options = load_config(args.config).train_dataloader.dataset
    for name, part in options.datasets.items() if options.type == 'MultiTaskDataset' else [(args.config, options)]:
        print(name)
        clock(part, args.samples)


def clock(options: dict, number: int) -> None:
    """Print the table of a training dataset."""
    steps = [dict(step) for step in options.pipeline]
    dataset = DATASETS.build(dict(options, pipeline=[]))
    indices = np.linspace(0, len(dataset) - 1, min(number, len(dataset))).astype(int)
    samples = [dataset.load(int(index)) for index in indices]
    table = PrettyTable(['transform', 'ms', 'expected'])
    table.align, table.align['transform'] = 'r', 'l'
    sums = [0.0, 0.0]
    for step in steps:
        prob = step.get('prob', 1.0)
        transform = TRANSFORMS.build(dict(step, **({'prob': 1.0} if 'prob' in step else {})))
        results, times = [], []
        for is_counted in (False, True):
            for index, sample in enumerate(samples):
                given = copied(sample)
                np.random.seed(index)
                try:
                    taken, result = cpu_seconds(transform, given)
                except Rejected:
                    continue
                if is_counted:
                    times.append(taken)
                    results.append(result)
        samples = results
        row = 1000 * float(np.median(times)), 1000 * float(np.median(times)) * prob
        sums = [total + value for total, value in zip(sums, row, strict=True)]
        table.add_row([step['type'], *(f'{value:.3f}' for value in row)])
    table.add_row(['all', *(f'{value:.3f}' for value in sums)])
    print(table)


if __name__ == '__main__':
    main()
