"""One of two processes that evaluate together: ``python rank.py INPUTS.pkl ANSWER.json`` with torchrun's variables set."""

import json
import os
import pickle
import sys

import torch.distributed as dist

from sapiens.evaluation import KeypointMetric, ValLoss


def main(inputs, answer):
    dist.init_process_group('gloo')
    rank = dist.get_rank()
    with open(inputs, 'rb') as file:
        ann_file, samples = pickle.load(file)
    # As the loader deals them out: by turns, and the first ones again until ranks have equally many.
    mine = (samples + samples[: len(samples) % 2])[rank::2]
    numbers = {}
    # A size that is told too large leaves the padding to the metric itself.
    for name, size in (('exact', len(samples)), ('padded', len(samples) + 1)):
        metric = KeypointMetric('coco17', ann_file)
        for sample in mine:
            metric.process({}, [sample])
        numbers[name] = metric.evaluate(size)
    loss = ValLoss()
    for sample in mine:
        loss.process({}, [sample])
    numbers['loss'] = loss.evaluate(len(samples))
    with open(answer, 'w') as file:
        json.dump(dict(numbers=numbers, read='people' in vars(metric)), file)
    dist.destroy_process_group()


if __name__ == '__main__':
    main(sys.argv[1], f'{os.environ["RANK"]}_{sys.argv[2]}')
