"""Cases that need no GPU: the operations and the memory of a step by ``sapiens estimate``, and the speed of the loaders."""

import tempfile

import numpy as np
import torch
from gpu_cases import SETTINGS, Case
from gpu_step import config_of
from harness import samples_per_second, use_one_thread
from PIL import Image

__all__ = ['measure_estimate', 'measure_loading', 'peak_rate']

# Photographs of a loading test, (w, h) in pixels, and views of each.
PHOTOGRAPH, FILES, VIEWS = (2048, 1365), 4, 6


def peak_rate(device: str) -> float | None:
    """Dense bf16 operations per second of a device by its name; None where they are not known."""
    try:
        from sapiens.engine.peak_rates import peak_rates
    except ModuleNotFoundError:  # this checkout has no table
        return None
    rates = peak_rates(device)
    return rates and rates.bf16 * 1e12


def measure_estimate(case: Case) -> dict:
    """What ``sapiens estimate`` computes for a step of one process.

    Returns:
        operations (of an image, without those that are computed again), and peak bytes ``plain`` and with ``FSDP2`` by batch.

    Raises:
        ModuleNotFoundError: this checkout has no estimate.
    """
    from sapiens.engine.estimate.arithmetic import PARALLEL, Cluster, peak_bytes
    from sapiens.engine.estimate.trace import trace_step

    with tempfile.TemporaryDirectory() as folder:
        cfg = config_of(case, folder)
    cfg.activation_checkpointing = SETTINGS[case.mode]
    trace = trace_step(cfg, 'bf16', 'cpu' if case.is_tiny else 'gpu')
    sharded = next(way for way in PARALLEL if way.type == 'FSDP2')
    batches = [case.batch // 2**halved for halved in range(case.batch.bit_length())]
    return dict(
        operations=trace.counts.step,
        plain={str(batch): trace.memory.peak(batch) for batch in batches},
        FSDP2={str(batch): peak_bytes(trace, sharded, Cluster(gpus=1), batch) for batch in batches},
    )


def measure_loading(case: Case) -> dict:
    """Samples per second of one core, with the augmentation of the recipe: from a JPEG file to a packed sample."""
    use_one_thread()
    with tempfile.TemporaryDirectory() as folder:
        size, files, views = ((256, 171), 1, 1) if case.is_tiny else (PHOTOGRAPH, FILES, VIEWS)
        paths = [f'{folder}/photograph{number}.jpg' for number in range(files)]
        for number, path in enumerate(paths):
            photograph(size, number).save(path, quality=90)
        pipeline, samples = LOADERS[case.recipe.split()[0]](case, paths, folder)
        [rate] = samples_per_second([pipeline], [[sample] for sample in samples] * views)
    return dict(images_per_s=float(rate), threads=torch.get_num_threads())


def photograph(size: tuple[int, int], seed: int) -> Image.Image:
    """A photograph that scikit-image has, scaled to cover the size (w, h)."""
    from pretrain_data import upsample
    from skimage import data

    pictures = (data.astronaut, data.coffee, data.chelsea, data.rocket)
    return upsample(pictures[seed % len(pictures)](), size)


def _pretraining(case: Case, paths: list[str], folder: str) -> tuple:
    from pretrain_data import AREA, ASPECT, OUTPUT

    from sapiens.datasets.base import build_pipeline

    crop = dict(type='LoadRandomResizedCrop', size=(OUTPUT, OUTPUT), area=AREA, aspect=ASPECT, flip_prob=0.5)
    samples = [dict(img_path=path, sample_idx=0) for path in paths]
    return build_pipeline([crop, dict(type='PackImage')]), samples


def _pose(case: Case, paths: list[str], folder: str) -> tuple:
    from pose_data import complete, people_of_photographs, pipelines

    people = people_of_photographs(folder, len(paths))
    return pipelines('fast')[0], [complete(person, 'goliath308') for person in people]


def _dense(case: Case, paths: list[str], folder: str) -> tuple:
    from dense_data import RECIPES, make_files, our_pipeline, ours_of

    kinds = ('sem_seg',) if case.recipe == 'segmentation' else ('normal', 'mask')
    np.random.seed(0)
    files = make_files(folder, paths)['JPEG 1024x768']
    mixed = 0.75 if case.recipe == 'segmentation' else 1.0
    pipeline = our_pipeline(**RECIPES['goliath'], decode='fast', mixed=mixed)
    return pipeline, [ours_of(file, kinds) for file in files]


# By the first word of a recipe.
LOADERS = dict(MAE=_pretraining, pose=_pose, segmentation=_dense, normals=_dense)
