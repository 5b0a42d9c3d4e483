"""One sample for several tasks: labels of several datasets, the view of a person, and where each map is valid."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from sapiens.datasets import CombinedDataset, Draw, GeometryDataset, JointDataset, KeypointDataset, SegmentationDataset
from sapiens.datasets.transforms import LoadDense, LoadLabels, PersonCrop, Resize

SIZE = (48, 64)  # (w, h)
FIELDS = ['sem_seg', 'depth', 'normal']
CLASSES = dict(name='halves', classes=['background', 'left_half', 'right_half'])
# Keypoints on the color ramp of the person: x of the image is read back from the colors.
POINTS = [[22 + 2 * k, 12 + 2 * k, 2] for k in range(17)]


@pytest.fixture
def root(tmp_path):
    """Two images of 80x60 with a person each. Red is 2x and green 4y; so are depth (x / 40 + 1) and classes (halves)."""
    for name in ('images', 'seg', 'depth', 'normal', 'mask'):
        (tmp_path / name).mkdir()
    x, y = np.meshgrid(np.arange(80), np.arange(60))
    mask = (x >= 20) & (x < 60) & (y >= 10) & (y < 50)
    normal = np.zeros((60, 80, 3), np.float32)
    normal[..., 0] = 1
    for index in range(2):
        Image.fromarray(np.dstack([2 * x, 4 * y, 200 * mask]).astype(np.uint8)).save(tmp_path / f'images/{index}.png')
        Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / f'mask/{index}.png')
        Image.fromarray((mask * np.where(x < 40, 1, 2)).astype(np.uint8)).save(tmp_path / f'seg/{index}.png')
        np.save(tmp_path / f'depth/{index}.npy', (x / 40 + 1).astype(np.float32))
        np.save(tmp_path / f'normal/{index}.npy', normal)
    write_people(tmp_path / 'people.json')
    return tmp_path


def write_people(path, count=2):
    images = [dict(id=index, file_name=f'images/{index}.png', width=80, height=60) for index in range(count)]
    people = [
        dict(
            id=index, image_id=index, category_id=1, iscrowd=0, area=1600, bbox=[20, 10, 40, 40],
            keypoints=np.ravel(POINTS).tolist(), num_keypoints=17,
        )
        for index in range(count)
    ]  # fmt: skip
    path.write_text(json.dumps(dict(images=images, annotations=people, categories=[dict(id=1, name='person')])))


def keypoints(root, **options):
    return KeypointDataset(skeleton='coco17', data_root=str(root), ann_file='people.json', **options)


def labels(root, **options):
    geometry = dict(data_root=str(root), images='images', normal_frame='camera')
    return dict(
        seg=SegmentationDataset(CLASSES, data_root=str(root), labels='seg', **options),
        depth=GeometryDataset(fields=['depth'], **geometry),
        normal=GeometryDataset(fields=['normal'], **geometry),
    )


def pipeline(prob=1.0, flip=0.0, rotation=0.0):
    whole = [dict(type='Resize', size=SIZE)]
    return [
        dict(type='LoadLabels', fields=FIELDS, apart=True, classes=CLASSES),
        dict(
            type='LoadDense',
            decode='exact',
            steps=[
                dict(type='PersonCrop', size=SIZE, prob=prob, otherwise=whole, rotation=rotation),
                dict(type='RandomFlip', prob=flip),
            ],
        ),
        dict(type='MovePerson', min_visible=2),
        dict(type='PackTasks', fields=FIELDS, unit_vectors='fp32'),
    ]


def draws(dataset, count=12):
    return [(dataset[Draw(index % len(dataset), index)]) for index in range(count)]


@pytest.mark.parametrize('options', [{}, dict(prob=0.0), dict(flip=1.0), dict(rotation=60.0)], ids=str)
def test_all_labels_move_with_the_pixels(root, options):
    dataset = JointDataset(keypoints(root), labels(root), pipeline(**options))
    views = set()
    for packed in draws(dataset):
        sample, image = packed['data_samples'], packed['inputs'].float()
        inside = sample.valid_sem_seg
        assert torch.equal(inside, sample.valid_mask) and set(sample.gt_sem_seg[inside].unique().tolist()) <= {0, 1, 2}
        assert not (sample.valid_depth & ~inside).any() and sample.valid_depth.any() and sample.valid_normal.any()
        # Depth is valid on the person, whose pixels are blue, and is that of the x which red tells.
        on = sample.valid_depth
        assert image[2][on].mean() > 190
        assert (sample.gt_depth[0][on] - (image[0][on] / 80 + 1)).abs().mean() < 0.03
        first = (image[0][on] < 80) == (sample.gt_sem_seg[on] == (2 if sample.flip else 1))
        assert first.float().mean() > 0.9
        # Normals along x of the image turn and are mirrored with it.
        wanted = np.append(sample.warp_matrix[:, 0] / np.linalg.norm(sample.warp_matrix[:, 0]), 0)
        assert np.abs(sample.gt_normal[:, on].numpy() - wanted[:, None]).max() < 1e-5
        person = sample.gt_instance_labels
        for (x, y), weight, (px, py, _) in zip(
            person.keypoints[0], person.keypoint_weights[0], _ordered(sample.flip), strict=True
        ):
            column, row = round(float(x)), round(float(y))
            if weight and 1 <= column < SIZE[0] - 1 and 1 <= row < SIZE[1] - 1:
                assert abs(image[0, row, column] / 2 - px) < 1.5 and abs(image[1, row, column] / 4 - py) < 1.5
        views.add(tuple(np.round(sample.warp_matrix, 3).ravel()))
    assert (len(views) > 6) == (options != dict(prob=0.0))


def _ordered(flip):
    from sapiens.metainfo import get_skeleton

    return [POINTS[index] for index in (get_skeleton('coco17').flip_indices if flip else range(17))]


def test_what_is_cut_off_is_unknown_for_all(root):
    steps = pipeline(rotation=0.0)
    steps.insert(1, dict(type='CutByBorder', prob=1.0, sides=(0, 0, 0, 1), kept=(0.5, 0.6), least=2))
    dataset = JointDataset(keypoints(root), labels(root), steps)
    hidden = 0
    for packed in draws(dataset, 6):
        sample, image = packed['data_samples'], packed['inputs']
        beyond = (image == 0).all(0)
        assert beyond.any() and not (sample.valid_sem_seg | sample.valid_depth | sample.valid_normal)[beyond].any()
        assert (sample.gt_sem_seg[beyond] == 255).all()
        person = sample.gt_instance_labels
        at = person.keypoints[0][person.keypoint_weights[0] == 0].ceil().int().tolist()  # the lower part is cut off
        at = [(x, y) for x, y in at if 0 <= x < SIZE[0] and 0 <= y < SIZE[1]]
        assert all(beyond[y, x] for x, y in at), 'a keypoint that is cut off still shows'
        hidden += len(at)
    assert hidden > 10


def test_photographs_have_keypoints_alone(root, tmp_path):
    photographs = keypoints(root, min_keypoints=6)
    joint = JointDataset(keypoints(root), labels(root))
    dataset = CombinedDataset(
        [joint, photographs], weights=[0.5, 0.5], length=8, pipeline=pipeline(prob=0.0, flip=1.0)
    )
    kinds = []
    for packed in draws(dataset, 8):
        sample = packed['data_samples']
        known = [bool(sample.get(f'valid_{name}').any()) for name in FIELDS]
        assert len(set(known)) == 1 and sample.gt_sem_seg.dtype == torch.uint8 and sample.valid_mask.any()
        assert sample.gt_depth.shape == (1, 64, 48) and sample.gt_normal.shape == (3, 64, 48)
        whole = abs(sample.warp_matrix[0, 0] + SIZE[0] / 80) < 1e-6
        assert whole == known[0], 'only the crop tells who is meant in a photograph'
        kinds.append(known[0])
    assert sum(kinds) == 4


def test_what_cannot_be_joined_is_refused(root):
    with pytest.raises(ValueError, match='has a pipeline of its own or test_mode=True'):
        JointDataset(keypoints(root, test_mode=True), labels(root))
    (root / 'fewer').mkdir()
    write_people(root / 'people.json', 3)
    with pytest.raises(ValueError, match=r'1 of 3 samples have no labels.depth of .*, such as .*images/2.png'):
        JointDataset(keypoints(root), labels(root))
    with pytest.raises(ValueError, match="classes=None: expected those of 'sem_seg' with apart=True"):
        LoadLabels(fields=FIELDS, apart=True)
    with pytest.raises(ValueError, match='it must be the first of the steps'):
        np.random.seed(0)
        image = np.zeros((60, 80, 3), np.uint8)
        LoadDense([Resize((40, 30)), PersonCrop(SIZE)])(dict(img=image, bbox=np.float32([[1, 2, 30, 40]])))
