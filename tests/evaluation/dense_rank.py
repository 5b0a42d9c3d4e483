"""One of two processes that evaluate dense tasks together: ``python dense_rank.py INPUTS.pkl ANSWER.json`` with torchrun's
variables set."""

import json
import os
import pickle
import sys

import torch
import torch.distributed as dist

from sapiens.evaluation import AlbedoMetric, DepthMetric, MattingMetric, NormalMetric, PointmapMetric, SegMetric


def metrics():
    return [
        SegMetric('lip20', min_share=0.01),
        DepthMetric(),
        DepthMetric('median', average='pixel'),
        NormalMetric(),
        NormalMetric('image', prefix='image'),
        PointmapMetric(),
        PointmapMetric('image', prefix='pointmap_image'),
        AlbedoMetric(),
        AlbedoMetric('linear', 'pixel', prefix='albedo_pixel'),
        MattingMetric(band=0.1),
    ]


def main(inputs, answer):
    dist.init_process_group('gloo')
    rank = dist.get_rank()
    with open(inputs, 'rb') as file:
        samples = pickle.load(file)
    # As the loader deals them out: by turns, and the first ones again until ranks have equally many.
    mine = (samples + samples[: len(samples) % 2])[rank::2]
    numbers = {}
    for metric in metrics():
        for start in range(0, len(mine), 2):
            part = mine[start : start + 2]
            metric.process(dict(inputs=torch.stack([sample['image'] for sample in part])), part)
        numbers |= metric.evaluate(len(samples))
    # A sample that both have in the middle cannot be taken out of their sums.
    metric = NormalMetric()
    metric.process({}, [samples[0], *mine[1:]])
    try:
        metric.evaluate(len(samples))
        shared = None
    except ValueError as error:
        shared = str(error)
    except RuntimeError:  # the other process has gone
        shared = 'gone'
    with open(answer, 'w') as file:
        json.dump(dict(numbers=numbers, shared=shared), file)
    os._exit(0)  # not by way of the process group, which waits for the process that failed


if __name__ == '__main__':
    main(sys.argv[1], f'{os.environ["RANK"]}_{sys.argv[2]}')
