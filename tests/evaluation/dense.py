"""Samples of the dense tasks as the test loop hands them to metrics. Not collected."""

import numpy as np
import torch


def noise(seed, *shape):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def dense_samples(count, classes=5, size=(9, 8)):
    """Random labels and predictions of all three tasks, as dicts; a third of the pixels does not count, nothing in the third
    sample."""
    samples = []
    for index in range(count):
        random = np.random.default_rng(index)
        valid = torch.from_numpy(random.random(size) > 0.3) & (index != 2)
        label = torch.from_numpy(random.integers(0, classes, size).astype(np.uint8))
        label[0, :3] = 255
        normal = torch.nn.functional.normalize(noise(index, 3, *size), dim=0)
        depth = 2 + index + noise(index + 1, 1, *size).clamp(-1, 1)
        samples.append(
            dict(
                sample_idx=index,
                img_path=f'images/{index}.png',
                valid_mask=valid,
                gt_sem_seg=label,
                pred_sem_seg=torch.from_numpy(np.where(random.random(size) > 0.5, label % classes, 1)).long(),
                gt_depth=depth,
                pred_depth=0.3 * depth + 0.1 * noise(index + 2, 1, *size).abs() + 0.2,
                gt_normal=normal,
                pred_normal=torch.nn.functional.normalize(normal + 0.4 * noise(index + 3, 3, *size), dim=0),
            )
        )
    return samples


def evaluate(metric, samples, batch=2, size=None):
    for start in range(0, len(samples), batch):
        metric.process({}, samples[start : start + batch])
    return metric.evaluate(len(samples) if size is None else size)
