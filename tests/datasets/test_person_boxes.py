"""Images with boxes of people: files, geometry, mosaics, packing."""

import json

import numpy as np
import pytest
from PIL import Image

from sapiens.datasets import CombinedDataset, Draw, ImageFolder, MosaicDataset, PersonBoxDataset, stack_collate
from sapiens.datasets.checks import Findings
from sapiens.datasets.statistics import statistics_of
from sapiens.datasets.transforms import BadImage, LoadDense, LoadLetterbox, PackBoxes, RandomFlip, ScaleJitter
from sapiens.tasks import get_task
from sapiens.utils.boxes import transform_boxes

SIZES = ((120, 90), (60, 100), (80, 80))  # (w, h)
RED = (255, 0, 0)
PEOPLE = {0: [[10, 20, 30, 60], [70, 10, 40, 40]], 1: [[5, 8, 50, 80]]}  # nobody in the last image


@pytest.fixture
def folder(tmp_path):
    """Images whose people are red rectangles on gray, a crowd and a cat."""
    annotations = []
    for index, (width, height) in enumerate(SIZES):
        pixels = np.full((height, width, 3), 128, np.uint8)
        for x, y, w, h in PEOPLE.get(index, ()):
            pixels[y : y + h, x : x + w] = RED
            annotations.append(dict(image_id=index, category_id=2, bbox=[x, y, w, h], iscrowd=0))
        Image.fromarray(pixels).save(tmp_path / f'{index}.png')
    annotations.append(dict(image_id=1, category_id=2, bbox=[0, 90, 60, 10], iscrowd=1))
    annotations.append(dict(image_id=2, category_id=1, bbox=[0, 0, 30, 30], iscrowd=0))
    write(tmp_path, annotations)
    return tmp_path


def write(folder, annotations, categories=((1, 'cat'), (2, 'person'))):
    content = dict(
        images=[dict(id=i, file_name=f'{i}.png', width=w, height=h) for i, (w, h) in enumerate(SIZES)],
        annotations=[dict(one, id=number) for number, one in enumerate(annotations)],
        categories=[dict(id=number, name=name) for number, name in categories],
    )
    (folder / 'people.json').write_text(json.dumps(content))


def red_box(image):
    """x1, y1, x2, y2 around the red pixels of (h, w, 3)."""
    rows, columns = np.nonzero((image[..., 0] > 190) & (image[..., 2] < 64))
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


def test_people_of_the_named_category(folder):
    data = PersonBoxDataset('people.json', str(folder))
    assert len(data) == 3 and '3 images with 3 people' in repr(data)
    first = data.load(0)
    assert first['img_path'] == f'{folder}/0.png' and first['img_id'] == 0
    assert first['bbox'].tolist() == [[10, 20, 40, 80], [70, 10, 110, 50]] and not first['bbox_ignored'].any()
    assert data.load(1)['bbox_ignored'].tolist() == [False, True]
    assert data.load(2)['bbox'].shape == (0, 4)
    assert len(PersonBoxDataset('people.json', str(folder), keep_empty=False)) == 2
    assert len(PersonBoxDataset('people.json', str(folder), keep_empty=False, test_mode=True)) == 3
    (part,) = PersonBoxDataset('people.json', str(folder), part=(0.34, 0.67)).image_paths()
    assert part.endswith('1.png')


def test_what_cannot_be_used_is_reported(folder):
    boxes = [[0, 0, 20, 20], None, [200, 0, 20, 20], [100, 10, 60, 20], [float('nan'), 0, 5, 5]]
    annotations = [dict(image_id=0, bbox=box) for box in boxes] + [dict(image_id=99, bbox=[0, 0, 5, 5])]
    write(folder, annotations, categories=())
    data = PersonBoxDataset('people.json', str(folder))
    assert data.load(0)['bbox'].tolist() == [[0, 0, 20, 20], [100, 10, 120, 30]]
    findings = Findings()
    data.check(findings)
    assert {what: found.count for what, found in findings.items()} == {
        'an image that is not listed': 1,
        'no box': 1,
        'a box that is not finite': 1,
        'a box that is empty within its image': 1,
        'box that reaches out of its image': 1,
    }
    write(folder, [dict(image_id=0, category_id=1, bbox=[0, 0, 9, 9])])
    with pytest.raises(ValueError, match='no box of a person can be used; 1 with another category than person'):
        PersonBoxDataset('people.json', str(folder))
    with pytest.raises(ValueError, match='in test mode: the metric expects all images'):
        PersonBoxDataset('people.json', str(folder), test_mode=True, part=(0, 0.5))


@pytest.mark.parametrize('flip', [0.0, 1.0])
@pytest.mark.parametrize('size', [(64, 64), (200, 100)])
def test_boxes_follow_the_pixels(folder, size, flip):
    """Labels frame what is red in the input, whatever the geometry."""
    steps = [ScaleJitter(size, ratio=(0.5, 1.6), aspect=1.3), RandomFlip(flip)]
    load, pack = LoadDense(steps, decode='exact'), PackBoxes(min_size=2, min_visible=0.0)
    data, seen = PersonBoxDataset('people.json', str(folder)), 0
    for seed in range(12):
        np.random.seed(seed)
        results = data.load(1)
        packed = pack(load({**results, 'bbox': results['bbox'][:1], 'bbox_ignored': results['bbox_ignored'][:1]}))
        rows = packed['data_samples'].gt_instance_labels
        image = packed['inputs'].permute(1, 2, 0).numpy()
        assert image.shape[:2] == size[::-1] and packed['data_samples'].img_id == 1
        if rows.box_kinds[0, 0] and min(rows.boxes[0, 0, 2:] - rows.boxes[0, 0, :2]) > 4:
            seen += 1
            np.testing.assert_allclose(rows.boxes[0, 0], red_box(image), atol=1.01)
    assert seen > 5


def test_letterboxed_boxes_come_back(folder):
    data = PersonBoxDataset('people.json', str(folder), test_mode=True,
                            pipeline=[LoadLetterbox((64, 64)), PackBoxes(min_size=4)])  # fmt: skip
    for sample in data:
        packed = sample['data_samples']
        matrix = np.linalg.inv(np.vstack([packed.warp_matrix, [0, 0, 1]]))[:2]
        count = int((packed.gt_instance_labels.box_kinds > 0).sum())
        boxes = transform_boxes(packed.gt_instance_labels.boxes[0, :count], matrix)
        assert count == len(packed.gt_instances.bboxes)
        order, wanted = np.argsort(boxes[:, 1]), packed.gt_instances.bboxes
        np.testing.assert_allclose(boxes[order], wanted[np.argsort(wanted[:, 1])], atol=1e-3)


def test_whole_image_stays_the_whole_input():
    """Boxes are edges of pixels, matrices map their centers."""
    results = LoadLetterbox((30, 30))(dict(img=np.zeros((60, 90, 3), np.uint8), img_path='x'))
    np.testing.assert_allclose(transform_boxes([[0, 0, 90, 60]], results['warp_matrix']), [[0, 5, 30, 25]], atol=1e-9)


def test_people_who_hardly_show_are_ignored():
    pack = PackBoxes(min_size=8, min_visible=0.3, max_people=4)
    boxes = np.array([[0, 0, 40, 40], [-40, 0, 10, 20], [60, 60, 66, 66], [90, 90, 99, 99]], float)
    rows, kinds = pack.labels(boxes, np.array([True, False, False, False]), (80, 80))
    assert rows.tolist() == [[0, 0, 40, 40], [0, 0, 10, 20], [60, 60, 66, 66]]
    assert kinds.tolist() == [2, 2, 2]  # a crowd, a fifth of a person, and 6 pixels; the last one is outside
    # More people than rows: the largest, and a box around the others.
    boxes = np.array([[0, 0, 30 - i, 30 - i] for i in range(3)] + [[40, 40, 50, 50], [60, 60, 70, 71]], float)
    rows, kinds = pack.labels(boxes, np.zeros(5, bool), (80, 80))
    assert kinds.tolist() == [1, 1, 1, 2] and rows[3].tolist() == [40, 40, 70, 71]
    for options, text in (
        ({'min_size': 0}, 'min_size=0'),
        ({'min_visible': 2}, 'min_visible=2'),
        ({'max_people': 1}, 'max_people=1'),
    ):
        with pytest.raises(ValueError, match=text):
            PackBoxes(**options)


def test_scale_jitter_covers_its_range():
    """Smaller images are inside, larger ones cover the input; the place is random."""
    image = np.full((50, 100, 3), 200, np.uint8)
    widths = []
    for seed in range(60):
        np.random.seed(seed)
        results = LoadDense([ScaleJitter((64, 64), ratio=(0.5, 2.0))])(dict(img=image, img_path='x'))
        (x1, y1, x2, y2) = transform_boxes([[0, 0, 100, 50]], results['warp_matrix'])[0]
        widths.append((x2 - x1) / 64)
        assert abs((x2 - x1) / (y2 - y1) - 2) < 0.1
        assert (x1 >= -0.51 and x2 <= 64.51) if x2 - x1 <= 64 else (x1 <= 0.51 and x2 >= 63.49)
        shown = (results['img'] > 100).any(-1)
        assert abs(shown.sum() - (min(x2, 64) - max(x1, 0)) * (min(y2, 64) - max(y1, 0))) < 140
    assert min(widths) < 0.56 and max(widths) > 1.8 and abs(np.median(widths) - 1) < 0.25
    for options, text in (({'ratio': (2, 1)}, 'ratio='), ({'aspect': 0.5}, 'aspect=0.5'), ({'size': 5}, 'size=5')):
        with pytest.raises(ValueError, match=text):
            ScaleJitter(**{'size': (64, 64), **options})


def test_mosaics_show_parts_of_four_images(folder):
    plain = PersonBoxDataset('people.json', str(folder))
    data = MosaicDataset(plain, share=1.0, size=(160, 120))
    assert len(data) == 3
    for seed in range(8):
        np.random.seed(seed)
        results = data.load_drawn(0, seed)
        assert results['img'].shape == (120, 160, 3) and results['img_path'].endswith('0.png')
        assert len(results['bbox']) == len(results['bbox_ignored'])
        assert (results['bbox'] >= 0).all() and (results['bbox'] <= [160, 120, 160, 120]).all()
        for box in results['bbox'][~results['bbox_ignored']]:
            x1, y1, x2, y2 = np.rint(box).astype(int)
            inside = results['img'][y1 + 2 : y2 - 2, x1 + 2 : x2 - 2]
            assert (inside[..., 0] > 200).all() and (inside[..., 2] < 60).all()
    (folder / '2.png').write_bytes(b'nothing')
    with pytest.raises(BadImage) as error:
        for _ in range(20):
            data.load_drawn(0, 0)
    assert error.value.path.endswith('2.png')
    assert 'img' not in MosaicDataset(plain, share=0.0).load(1)
    for options, text in (
        ({'share': 2}, 'share=2'),
        ({'size': (8, 8)}, 'size='),
        ({'min_visible': -1}, 'min_visible'),
    ):
        with pytest.raises(ValueError, match=text):
            MosaicDataset(plain, **options)
    with pytest.raises(ValueError, match='has a pipeline'):
        MosaicDataset(PersonBoxDataset('people.json', str(folder), pipeline=[PackBoxes()]))
    with pytest.raises(ValueError, match='in test mode'):
        MosaicDataset(PersonBoxDataset('people.json', str(folder), test_mode=True))


def test_batches_have_stacked_labels_and_depend_on_the_draw_only(folder):
    pipeline = [LoadDense([ScaleJitter((64, 64)), RandomFlip()]), PackBoxes(max_people=5)]
    empty = folder / 'nobody'
    empty.mkdir()
    Image.fromarray(np.full((50, 70, 3), 90, np.uint8)).save(empty / 'x.png')
    parts = [PersonBoxDataset('people.json', str(folder)), ImageFolder(str(empty))]
    data = MosaicDataset(CombinedDataset(parts), share=0.5, pipeline=pipeline)
    draws = [Draw(index % len(data), seed) for seed, index in enumerate(range(8))]
    samples = [data[draw] for draw in draws]
    batch = stack_collate(samples)
    assert batch['labels']['boxes'].shape == (8, 5, 4) and batch['labels']['box_kinds'].shape == (8, 5)
    import pickle

    again = pickle.loads(pickle.dumps(batch))
    for one, other, repeated in zip(
        batch['data_samples'], again['data_samples'], map(data.__getitem__, draws), strict=True
    ):
        rows = one.gt_instance_labels
        assert (rows.boxes == other.gt_instance_labels.boxes).all()
        assert (rows.boxes == repeated['data_samples'].gt_instance_labels.boxes).all()
    statistics = statistics_of(get_task('person'))
    rows = [statistics.measure(sample['inputs'], sample['data_samples']) for sample in samples]
    assert statistics.judge_labels(rows) == [] and 'people on average' in statistics.describe(rows)
    nobody = [row for row in rows if not row['people']]
    assert nobody and statistics.judge_labels(nobody)[0].nothing
