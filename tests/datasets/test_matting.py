"""Lists and folders of images with alpha."""

import json
import pickle

import numpy as np
import pytest
from mmengine.dataset import pseudo_collate

from sapiens.coco.json_stream import stream_list
from sapiens.datasets import CombinedDataset, Draw, MattingDataset
from sapiens.datasets.checks import Findings, check_samples
from sapiens.datasets.collate import stack_collate
from sapiens.datasets.statistics import statistics_of
from sapiens.datasets.transforms import Rejected, RejectLabels
from sapiens.registry import DATASETS
from sapiens.tasks import get_task
from sapiens.utils.config import load_config

from .folders import write_png
from .helpers import smooth_image

SIZE = (40, 60)
FIELDS = dict(type='LoadLabels', fields=['alpha', 'foreground'])
PIPELINE = [FIELDS, dict(type='LoadDense', steps=[dict(type='Resize', size=(24, 32))]), dict(type='PackDense')]


def alpha_of(number) -> np.ndarray:
    alpha = np.zeros(SIZE[::-1], np.uint8)
    alpha[10:50, 10:30], alpha[10:50, 8:10] = 255, 100 + number
    return alpha


def write_pairs(root, count=4):
    """Images with one channel of alpha, or an RGBA file in every second sample; and the list."""
    pairs = []
    for i in range(count):
        write_png(root / f'photos/{i}.jpg', smooth_image(*SIZE, seed=i))
        mask = alpha_of(i) if i % 2 else np.dstack([smooth_image(*SIZE, seed=10 + i), alpha_of(i)])
        write_png(root / f'mattes/{i}.png', mask)
        pairs.append(dict(image=f'photos/{i}.jpg', mask=f'mattes/{i}.png', source='ours'))
    (root / 'pairs.json').write_text(json.dumps(pairs))


def write_folders(root, count=3, foreground=True):
    for i in range(count):
        write_png(root / f'rgb/{i}.png', smooth_image(*SIZE, seed=i))
        write_png(root / f'alpha/{i}.png', alpha_of(i))
        if foreground:
            write_png(root / f'foreground/{i}.png', np.dstack([smooth_image(*SIZE, seed=10 + i), alpha_of(i)]))


def found(dataset) -> dict:
    findings = Findings()
    dataset.check(findings, True)
    return {what: finding.count for what, finding in findings.items()}


def test_the_published_list_of_pairs(tmp_path):
    write_pairs(tmp_path)
    dataset = MattingDataset(str(tmp_path), 'pairs.json', pipeline=[FIELDS], test_mode=True)
    assert len(dataset) == 4 and found(dataset) == {}
    colored, plain = dataset[0], dataset[1]
    for number, sample in enumerate((colored, plain)):
        assert sample['img_path'].endswith(f'photos/{number}.jpg') and sample['valid_mask'].all()
        np.testing.assert_allclose(sample['gt_alpha'] * 255, alpha_of(number), atol=1e-4)
    # The file has the colors: straight ones times alpha, known everywhere.
    share = alpha_of(0)[..., None] / 255
    np.testing.assert_allclose(colored['gt_foreground'] * 255, smooth_image(*SIZE, seed=10) * share, atol=1e-3)
    assert colored['valid_foreground'].all() and 'img' not in colored
    # Without them the picture has, where alpha is 1.
    assert np.array_equal(plain['valid_foreground'], np.isin(alpha_of(1), (0, 255)))
    solid = alpha_of(1) == 255
    np.testing.assert_allclose(plain['gt_foreground'][solid] * 255, plain['img'][solid], atol=1e-4)
    assert plain['gt_foreground'][~solid].max() == 0
    packed = MattingDataset(str(tmp_path), 'pairs.json', pipeline=PIPELINE)[Draw(1, 5)]['data_samples']
    assert packed.gt_alpha.shape == (1, 32, 24) and packed.gt_foreground.shape == (3, 32, 24)
    assert packed.valid_foreground.shape == (32, 24) and 0.5 < packed.valid_foreground.float().mean() < 1


def test_folders_with_and_without_colors(tmp_path):
    write_folders(tmp_path / 'colored')
    write_folders(tmp_path / 'plain', foreground=False)
    colored = MattingDataset(str(tmp_path / 'colored'), pipeline=[FIELDS])
    plain = MattingDataset(str(tmp_path / 'plain'), pipeline=[FIELDS])
    assert colored[1]['valid_foreground'].all() and not plain[1]['valid_foreground'].all()
    assert found(colored) == {} and found(plain) == {} and len(plain) == 3
    ignored = MattingDataset(str(tmp_path / 'colored'), foreground='', pipeline=[FIELDS])[1]
    assert np.array_equal(ignored['gt_foreground'], plain[1]['gt_foreground'])
    assert pickle.loads(pickle.dumps(plain))[2]['img_path'] == plain[2]['img_path']
    with pytest.raises(FileNotFoundError, match='mattes'):
        MattingDataset(str(tmp_path / 'colored'), alpha='mattes')


def test_alpha_as_arrays_of_our_own_inference(tmp_path):
    write_folders(tmp_path, foreground=False)
    (tmp_path / 'alpha/1.png').unlink()
    np.save(tmp_path / 'alpha/1.npy', alpha_of(1) / np.float32(255))
    sample = MattingDataset(str(tmp_path), pipeline=[FIELDS], test_mode=True)[1]
    assert np.array_equal(sample['valid_foreground'], np.isin(alpha_of(1), (0, 255)))


def test_a_list_of_people_without_background_mixes_with_pairs(tmp_path):
    write_pairs(tmp_path)
    write_png(tmp_path / 'behind/a.png', np.full((80, 80, 3), 40, np.uint8))
    (tmp_path / 'people.txt').write_text('\nmattes/0.png\nmattes/2.png\n')
    listed = MattingDataset(str(tmp_path), 'people.txt')
    assert len(listed) == 2 and 'without a background' in repr(listed) and found(listed) == {}
    compose = dict(type='ComposeRGBA', root=str(tmp_path / 'behind'))
    both = CombinedDataset([listed, MattingDataset(str(tmp_path), 'pairs.json')], pipeline=[compose, *PIPELINE])
    samples = [both[Draw(i, i)]['data_samples'] for i in range(len(both))]
    assert len(samples) == 6 and all(sample.gt_foreground.shape == (3, 32, 24) for sample in samples)
    assert ['background' in sample for sample in samples] == [True, True, False, False, False, False]
    assert samples[0].valid_foreground.all() and samples[0].valid_mask.all()
    alone = MattingDataset(str(tmp_path), 'people.txt', pipeline=[compose])[0]
    inside = alpha_of(0) == 255
    np.testing.assert_allclose(alone['gt_foreground'][inside] * 255, alone['img'][inside], atol=1e-3)
    assert (alone['img'][alpha_of(0) == 0] == 40).all()


def test_parts_of_lists_and_folders(tmp_path):
    write_pairs(tmp_path)
    halves = [MattingDataset(str(tmp_path), 'pairs.json', part=part) for part in ((0, 0.5), (0.5, 1))]
    assert [half.path(0)[-5:] for half in halves] == ['0.jpg', '2.jpg'] and [len(half) for half in halves] == [2, 2]
    with pytest.raises(ValueError, match=r'part=\(0, 0.1\) of the 4 samples'):
        MattingDataset(str(tmp_path), 'pairs.json', part=(0, 0.1))


def test_a_long_list_is_read_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr('sapiens.datasets.matting.stream_list', lambda path: stream_list(path, chunk=50))
    pairs = [dict(image=f'photos/{i}.jpg', mask=f'mattes/{i % 7}.png', note=[i, {}]) for i in range(200)]
    (tmp_path / 'pairs.json').write_text(json.dumps(pairs))
    dataset = MattingDataset(str(tmp_path), 'pairs.json', part=(0.25, 1))
    assert len(dataset) == 150 and dataset.path(149).endswith('photos/199.jpg')
    assert dataset.path(1, 'alpha').endswith(f'mattes/{51 % 7}.png')
    assert dataset.tables['alpha'] is dataset.tables['foreground'], 'held once'


@pytest.mark.parametrize(
    'content, reason',
    [
        ('', 'is not a JSON list'),
        ('{}', 'is not a JSON list .*a dict, not a list'),
        ('[]', 'is empty'),
        ('[{"image": "a.jpg"}]', 'entry 0 of .* is .*: expected .*mask'),
        ('[{"image": "a.jpg", "mask": 3}]', 'entry 0'),
        ('["a.jpg"]', 'entry 0'),
        ('[{"image": "a.jpg", "mask": "b.png"}', 'is not a JSON list'),
    ],
)
def test_lists_that_are_none(tmp_path, content, reason):
    (tmp_path / 'pairs.json').write_text(content)
    with pytest.raises(ValueError, match=reason):
        MattingDataset(str(tmp_path), 'pairs.json')
    (tmp_path / 'empty.txt').write_text('\n')
    with pytest.raises(ValueError, match='the list .* is empty'):
        MattingDataset(str(tmp_path), 'empty.txt')
    with pytest.raises(FileNotFoundError, match='no list'):
        MattingDataset(str(tmp_path), 'nothing.json')
    with pytest.raises(ValueError, match="alpha='alpha' goes with folders"):
        MattingDataset(str(tmp_path), 'pairs.json', alpha='alpha')
    with pytest.raises(ValueError, match='premultiplied=True with the list'):
        MattingDataset(str(tmp_path), 'empty.txt', premultiplied=True)


def test_bad_files_are_counted_with_their_names(tmp_path):
    write_folders(tmp_path, 4)
    write_png(tmp_path / 'alpha/1.png', (alpha_of(1) > 0).astype(np.uint8))
    write_png(tmp_path / 'alpha/2.png', alpha_of(2) * 0)
    write_png(tmp_path / 'foreground/2.png', np.dstack([smooth_image(*SIZE), alpha_of(2) * 0]))
    dataset = MattingDataset(str(tmp_path), pipeline=[FIELDS])
    assert found(dataset) == {'unusable alpha file': 1, 'alpha without people': 1}
    (path, reason), *_ = dataset[Draw(1, 1)]['bad']
    assert path.endswith('rgb/1.png') and 'alpha/1.png: alpha from 0 to 1 in 8-bit integers' in reason
    multiplied = MattingDataset(str(tmp_path), premultiplied=True, pipeline=[FIELDS])
    assert found(multiplied)['unusable foreground file'] == 4  # of straight colors


def labels(**changes) -> dict:
    valid = np.zeros((40, 30), bool)
    valid[10:30, 5:25] = True
    points = np.ones((40, 30, 3), np.float32) * 3
    albedo = np.random.default_rng(0).uniform(0.1, 0.5, (40, 30, 3)).astype(np.float32)
    intrinsics = np.array([[60.0, 0, 15], [0, 60, 20], [0, 0, 1]])
    given = dict(img_path='a', valid_mask=valid, gt_pointmap=points, gt_albedo=albedo, gt_alpha=np.float32(valid))
    return dict(given, intrinsics=intrinsics) | changes


def test_what_the_published_loaders_reject():
    step = RejectLabels(min_canonical_depth=0.04, min_albedo_std=0.02, empty_alpha=False)
    assert step(labels()).keys() == labels().keys()
    few = np.zeros((40, 30), bool)
    few[0, :15] = True
    with pytest.raises(Rejected, match='fewer than 16 labeled pixels: 15'):
        step(labels(valid_mask=few))
    many = np.ones((40, 30), bool)
    many[:1] = False
    with pytest.raises(Rejected, match='labels on more than 96% of the pixels: 97.5%'):
        step(labels(valid_mask=many))
    assert RejectLabels(max_fraction=1)(labels(valid_mask=many))
    # Width 30 at focal length 60: canonical is half of a meter.
    near = labels()
    near['gt_pointmap'][15, 15] = 0.081
    assert step(near)
    near['gt_pointmap'][15, 15] = 0.079
    with pytest.raises(Rejected, match='points nearer than 0.04 canonical meters: 0.0395'):
        step(near)
    near['gt_pointmap'][15, 15], near['gt_pointmap'][0, 0] = 1, 0
    assert step(near), 'invalid points mean nothing'
    with pytest.raises(Rejected, match='albedo of a single color: standard deviation 0, below 0.02'):
        step(labels(gt_albedo=np.full((40, 30, 3), 0.2, np.float32)))
    with pytest.raises(Rejected, match='empty alpha'):
        step(labels(gt_alpha=np.zeros((40, 30), np.float32)))
    with pytest.raises(ValueError, match='RejectLabels needs gt_pointmap'):
        RejectLabels(min_canonical_depth=0.04)(
            {'img_path': 'a', 'valid_mask': labels()['valid_mask'], 'intrinsics': np.eye(3)}
        )


@pytest.mark.parametrize(
    'options', [dict(min_pixels=-1), dict(max_fraction=0), dict(min_canonical_depth=0), dict(min_albedo_std=-1)]
)
def test_wrong_arguments(options):
    with pytest.raises(ValueError, match=f'{next(iter(options))}='):
        RejectLabels(**options)


def test_rejections_are_counted_by_name(tmp_path):
    write_folders(tmp_path, 4, foreground=False)
    for i in (1, 3):
        write_png(tmp_path / f'alpha/{i}.png', alpha_of(i) * 0)
    reject = dict(type='RejectLabels', max_fraction=1, empty_alpha=False)
    dataset = MattingDataset(str(tmp_path), pipeline=[FIELDS, reject, *PIPELINE[1:]])
    draws = [Draw(i, i) for i in range(4)]
    text = check_samples(Findings(), dataset, draws, statistics_of(get_task('matting')))
    assert 'it rejected 2 of them (empty alpha (2)), and training draws others' in text
    samples = [dataset[draw] for draw in draws]
    assert all(sample['data_samples'].gt_alpha.max() == 1 for sample in samples)
    # Training logs them by the same name, several for one sample where the ones drawn instead are rejected too.
    assert [bool(sample['rejected']) for sample in samples] == [False, True, False, True]
    rejected = stack_collate(samples)['loader'].rejected
    assert set(rejected) == {'empty alpha'} and len(rejected) >= 2
    assert pseudo_collate(samples)['rejected'][0] == ''


def test_the_published_recipe_on_both_lists(tmp_path, monkeypatch):
    """Pairs with and without colors, people without a background and an empty matte, through the steps of the config."""
    monkeypatch.setenv('DATA_ROOT', str(tmp_path))
    write_pairs(tmp_path / 'matting', 6)
    for name in ('train.json', 'val.json'):
        (tmp_path / 'matting' / name).write_text((tmp_path / 'matting/pairs.json').read_text())
    write_png(tmp_path / 'matting/mattes/5.png', alpha_of(5) * 0)
    (tmp_path / 'matting/people.txt').write_text('mattes/0.png\nmattes/2.png\n')
    write_png(tmp_path / 'coco/train2017/1.png', smooth_image(90, 70))
    annotations = dict(images=[dict(id=1, file_name='1.png', width=90, height=70)], annotations=[],
                       categories=[dict(id=1, name='person')])  # fmt: skip
    (tmp_path / 'coco/annotations').mkdir()
    (tmp_path / 'coco/annotations/person_keypoints_train2017.json').write_text(json.dumps(annotations))
    cfg = load_config('configs/matting/sapiens2_1b_general-1024x768.py')
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    assert len(dataset) == 8
    for index in range(len(dataset)):
        packed = dataset[Draw(index, index)]
        sample = packed['data_samples']
        assert packed['inputs'].shape == (3, 1024, 768) and packed['bad'] == []
        assert sample.gt_alpha.max() > 0.9 and sample.valid_mask.all()
        assert (sample.gt_foreground <= sample.gt_alpha + 1e-4).all()
        if 'background' in sample:
            # Solid people have the colors of the picture, but for its compression.
            solid = sample.gt_alpha[0] > 0.999
            assert (sample.gt_foreground * 255 - packed['inputs']).abs().mean(0)[solid].median() < 12
