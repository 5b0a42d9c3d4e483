"""Samples of the dense tasks as the test loop hands them to metrics. Not collected."""

import numpy as np
import torch


def noise(seed, *shape):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def dense_samples(count, classes=5, size=(9, 8)):
    """Random labels and predictions of all tasks, as dicts; a third of the pixels does not count, nothing in the third sample.
    The photograph, ``image``, is a bit larger than the labels."""
    samples = []
    for index in range(count):
        random = np.random.default_rng(index)
        valid = torch.from_numpy(random.random(size) > 0.3) & (index != 2)
        label = torch.from_numpy(random.integers(0, classes, size).astype(np.uint8))
        label[0, :3] = 255
        normal = torch.nn.functional.normalize(noise(index, 3, *size), dim=0)
        depth = 2 + index + noise(index + 1, 1, *size).clamp(-1, 1)
        points = torch.cat([noise(index + 4, 2, *size), depth])
        alpha = torch.from_numpy(random.random((1, *size)).astype(np.float32)).mul(3).sub(1).clamp(0, 1)
        albedo = torch.from_numpy(random.random((3, *size)).astype(np.float32))
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
                intrinsics=np.array([[10.0 + index, 0, 4], [0, 10, 4], [0, 0, 1]]),
                img_shape=(12, 16),
                gt_pointmap=points,
                pred_pointmap=points + 0.1 * noise(index + 5, 3, *size),
                pred_scale=torch.tensor(1.0 + 0.1 * index),
                gt_albedo=albedo,
                pred_albedo=albedo + 0.1 * noise(index + 6, 3, *size),
                gt_alpha=alpha,
                pred_alpha=(alpha + 0.1 * noise(index + 7, 1, *size)).clamp(0, 1),
                image=torch.from_numpy(random.integers(0, 256, (3, 12, 16)).astype(np.uint8)),
            )
        )
    return samples


def evaluate(metric, samples, batch=2, size=None):
    for start in range(0, len(samples), batch):
        part = samples[start : start + batch]
        metric.process(dict(inputs=[sample.get('image') for sample in part]), part)
    return metric.evaluate(len(samples) if size is None else size)
