"""Folders of images and label maps."""

import pickle

import cv2
import numpy as np
import pytest

from sapiens.datasets import CombinedDataset, Draw, GeometryDataset, SegmentationDataset, SyntheticHumans, label_checks
from sapiens.datasets.checks import Findings, check_samples
from sapiens.datasets.statistics import statistics_of
from sapiens.metainfo import get_classes, remap_table
from sapiens.tasks import get_task

from .folders import SIZE, write_array, write_geometry, write_labels, write_png
from .helpers import smooth_image

STEPS = [dict(type='RandomResize', size=(48, 64), ratio=(0.5, 2)), dict(type='RandomCrop', size=(48, 64))]
STEPS += [dict(type='Resize', size=(48, 64)), dict(type='RandomRotate', degree=45), dict(type='RandomFlip')]
PIPELINE = [dict(type='LoadLabels'), dict(type='LoadDense', steps=STEPS), dict(type='PackDense')]
TEST_PIPELINE = [dict(type='LoadLabels'), dict(type='LoadResize', size=(48, 64)), dict(type='PackDense')]


def seg(root, classes='goliath28', **options):
    return SegmentationDataset(classes, str(root), **options)


def geometry(root, **options):
    return GeometryDataset(str(root), **options)


def found(dataset, read=True) -> dict:
    findings = Findings()
    dataset.check(findings, read)
    return {what: finding.count for what, finding in findings.items()}


def test_images_and_label_maps(tmp_path):
    labels = write_labels(tmp_path)
    dataset = seg(tmp_path, pipeline=TEST_PIPELINE, test_mode=True)
    assert len(dataset) == 3 and found(dataset) == {}
    sample = dataset[1]['data_samples']
    assert np.array_equal(sample.gt_sem_seg.numpy(), labels) and sample.valid_mask.all()
    assert (
        sample.img_path.endswith('images/000001.jpg')
        and sample.ori_shape == SIZE[::-1]
        and sample.img_shape == (64, 48)
    )
    assert dataset.metainfo['classes'] == get_classes('goliath28').classes and len(dataset.metainfo['palette']) == 28
    assert 'goliath28' in repr(dataset) and [path[-10:] for path in dataset.image_paths()] == [
        f'{i:06d}.jpg' for i in range(3)
    ]


def test_layouts_of_the_published_data(tmp_path):
    write_labels(tmp_path / 'cihp/Training', images='Images', labels='Category_ids', size=SIZE)
    assert len(seg(tmp_path / 'cihp/Training', images='Images', labels='Category_ids')) == 3
    write_labels(tmp_path / 'lip', images='images/train_images', labels='segmentations/train_segmentations')
    assert len(seg(tmp_path / 'lip', images='images/train_images', labels='segmentations/train_segmentations')) == 3
    face = tmp_path / 'face'
    write_labels(face, count=4, images='.', labels='.', suffix='png', ending='_seg')
    (face / '000000_ldmks.txt').write_text('')
    dataset = seg(face, images='.', labels='.', label_ending='_seg')
    assert [dataset.path(i)[-10:] for i in range(len(dataset))] == [f'{i:06d}.png' for i in range(4)]
    assert dataset.path(2, 'sem_seg').endswith('000002_seg.png')
    parts = [seg(face, images='.', labels='.', label_ending='_seg', part=part) for part in ((0, 0.75), (0.75, 1))]
    assert [len(part) for part in parts] == [3, 1] and parts[1].path(0) == dataset.path(3)


def test_remapped_labels(tmp_path):
    labels = write_labels(tmp_path)
    for source in ('atr18', 'cihp20', 'lip20', 'pascal25', 'goliath34'):
        dataset = seg(tmp_path, source_classes=source, pipeline=TEST_PIPELINE)
        found = dataset[0]['data_samples'].gt_sem_seg.numpy()
        assert np.array_equal(found, remap_table(source, 'goliath28')[labels]) and not np.array_equal(found, labels)
        assert np.array_equal(dataset[0]['data_samples'].valid_mask.numpy(), found != 255)


@pytest.mark.parametrize(('source', 'count'), [('goliath34', 34), ('goliath52', 52), ('internal33', 33)])
def test_published_label_maps_of_the_second_family(source, count, tmp_path):
    """Its three label sets become 29 classes, before geometry: left and right swap as those of 29 in a mirrored image."""
    write_png(tmp_path / 'images/a.png', smooth_image(count, 4))
    ids = np.arange(count, dtype=np.uint8)[None].repeat(4, 0)
    write_png(tmp_path / 'labels/a.png', ids)
    steps = [
        dict(type='LoadLabels'),
        dict(type='LoadDense', steps=[dict(type='RandomFlip', prob=1.0)]),
        dict(type='PackDense'),
    ]
    dataset = seg(tmp_path, 'goliath29', source_classes=source, pipeline=steps)
    found = dataset[0]['data_samples'].gt_sem_seg.numpy()
    expected = get_classes('goliath29').flip_table[remap_table(source, 'goliath29')[ids]][:, ::-1]
    assert np.array_equal(found, expected) and set(np.unique(found)) >= {0, 2, 3, 28, 255}
    if source == 'goliath34':
        assert sorted(set(range(29)) - set(np.unique(found))) == []
    (tmp_path / 'two.py').write_text("classes = dict(name='two', classes=['background', 'left_shoe', 'right_shoe'])")
    write_png(tmp_path / 'images/a.png', smooth_image(*SIZE))
    labels = np.zeros(SIZE[::-1], np.uint8)
    labels[:, :30] = 1
    write_png(tmp_path / 'labels/a.png', labels)
    steps = [
        dict(type='LoadLabels'),
        dict(type='LoadDense', steps=[dict(type='RandomFlip', prob=1.0)]),
        dict(type='PackDense'),
    ]
    dataset = seg(tmp_path, str(tmp_path / 'two.py'), pipeline=steps)
    assert np.array_equal(dataset[0]['data_samples'].gt_sem_seg.numpy(), np.where(labels[:, ::-1] == 1, 2, 0))


def test_values_that_are_not_ids(tmp_path):
    write_png(tmp_path / 'images/a.png', smooth_image(*SIZE))
    mask = np.zeros(SIZE[::-1], np.uint8)
    mask[:, :30], mask[0] = 255, 128
    write_png(tmp_path / 'labels/a.png', mask)
    classes = dict(name='people', classes=['background', 'person'])
    values = {0: 'background', 255: 'person', 128: None}
    labels = seg(tmp_path, classes, values=values, pipeline=TEST_PIPELINE)[0]['data_samples'].gt_sem_seg.numpy()
    assert np.array_equal(labels, np.where(mask == 128, 255, mask // 255))
    values.pop(128)
    with pytest.raises(ValueError, match=r'labels \[128\]: expected those that have a class'):
        seg(tmp_path, classes, values=values, pipeline=TEST_PIPELINE, test_mode=True)[0]
    for wrong, text in (({300: 'person'}, '300 is not a value'), ({1: 'persn'}, "did you mean 'person'")):
        with pytest.raises(ValueError, match=text):
            seg(tmp_path, classes, values=wrong)


@pytest.mark.parametrize(
    ('names', 'hint'),
    [
        (('a.jpg.png', 'b.jpg.png'), "There is 'a.jpg.png': set label_ending='.jpg'"),
        (('a_mask.png', 'b_mask.png'), "There is 'a_mask.png': set label_ending='_mask'"),
        (('a.npy', 'b.npy'), "There is 'a.npy', of another format"),
        (('a.jpg', 'b.jpg'), "There is 'a.jpg': JPEG changes the values of labels"),
        (('a1.png', 'b1.png'), None),
    ],
)
def test_labels_of_other_names_are_found_by_hint(names, hint, tmp_path):
    for name in ('a', 'b'):
        write_png(tmp_path / f'images/{name}.jpg', smooth_image(*SIZE))
    for name in names:
        write_png(tmp_path / 'labels/x.png', np.zeros(SIZE[::-1], np.uint8))
        (tmp_path / 'labels/x.png').rename(tmp_path / 'labels' / name)
    for partial in (False, True):
        with pytest.raises(ValueError) as refused:
            seg(tmp_path, partial=partial)
        assert (hint or 'There is') in str(refused.value) or hint is None
        assert hint is not None or 'There is' not in str(refused.value)
    if 'label_ending' in str(hint):
        assert len(seg(tmp_path, label_ending=hint.split("'")[-2])) == 2


def test_label_maps_of_other_lossless_formats(tmp_path):
    labels = np.arange(SIZE[0] * SIZE[1], dtype=np.uint32).reshape(SIZE[::-1]) % 28
    for suffix in ('tif', 'bmp'):
        write_png(tmp_path / f'images/{suffix}.jpg', smooth_image(*SIZE))
        write_png(tmp_path / f'labels/{suffix}.{suffix}', labels.astype(np.uint8))
    data = seg(tmp_path, pipeline=TEST_PIPELINE)
    for sample in (data[0], data[1]):
        assert np.array_equal(sample['data_samples'].gt_sem_seg.numpy(), labels)


@pytest.mark.parametrize('names', [dict(), dict(images='images', depth='depths', normal='normals', mask='masks')])
def test_depth_and_normals(tmp_path, names):
    scene = write_geometry(tmp_path, **names)
    dataset = geometry(tmp_path, fields=['depth', 'normal'], pipeline=TEST_PIPELINE)
    sample = dataset[Draw(2, 0)]['data_samples']
    assert np.array_equal(sample.gt_depth[0].numpy(), scene['gt_depth'])
    assert np.allclose(sample.gt_normal.permute(1, 2, 0).numpy(), scene['gt_normal'], atol=1e-6)
    assert np.array_equal(sample.gt_mask.numpy(), scene['gt_mask']) and np.array_equal(
        sample.valid_mask.numpy(), scene['gt_mask']
    )
    assert found(dataset) == {} and 'gt_normal' not in geometry(tmp_path, pipeline=TEST_PIPELINE)[0]['data_samples']


def test_other_names_scales_and_no_masks(tmp_path):
    scene = write_geometry(tmp_path, mask='people', depth='z')
    for i in range(3):
        (tmp_path / f'z/{i:06d}.npy').unlink()
        write_png(tmp_path / f'z/{i:06d}.png', np.round(scene['gt_depth'] * 1000).astype(np.uint16))
    dataset = geometry(tmp_path, depth='z', mask='people', depth_scale=0.001, pipeline=TEST_PIPELINE)
    assert np.allclose(dataset[0]['data_samples'].gt_depth[0].numpy(), scene['gt_depth'], atol=0.0006)
    with pytest.raises(FileNotFoundError, match="'mask' or 'masks'.*mask=''"):
        geometry(tmp_path, depth='z')
    bare = geometry(tmp_path, depth='z', mask='', depth_scale=0.001, pipeline=TEST_PIPELINE)[0]['data_samples']
    assert 'gt_mask' not in bare and np.array_equal(bare.valid_mask.numpy(), scene['gt_depth'] > 0)


def test_sequences(tmp_path):
    for folder in ('pair28/dance', 'pair32/hug', 'pair41/other'):
        root = tmp_path / folder
        write_geometry(root, images='images/4', depth='depth/4', normal='normal/4', mask='seg/img_seg_mask/4/all')
    options = dict(images='images/4', depth='depth/4', mask='seg/img_seg_mask/4/all')
    dataset = geometry(tmp_path, sequences=['pair28/*', 'pair32/*'], **options)
    assert len(dataset) == 6 and dataset.path(5).endswith('pair32/hug/images/4/000002.png')
    assert len(geometry(tmp_path, sequences='pair*/*', **options)) == 9
    with pytest.raises(FileNotFoundError, match='sequences='):
        geometry(tmp_path, sequences='pair99/*', **options)


def test_output_of_make_synthetic_humans(tmp_path):
    from sapiens.synthetic.writer import SampleWriter

    from ..synthetic.fake import FakeGenerator

    made = FakeGenerator(size=SIZE)(3)
    for compact in (False, True):
        root = tmp_path / str(compact)
        SampleWriter(root, compact=compact).write(0, made)
        depth = geometry(root, fields=['depth', 'normal'], instance='instance', alpha='alpha', pipeline=TEST_PIPELINE)[
            0
        ]['data_samples']
        assert np.array_equal(depth.gt_depth[0].numpy(), made.depth) and np.array_equal(
            depth.gt_mask.numpy(), made.mask
        )
        assert np.allclose(depth.gt_normal.permute(1, 2, 0).numpy(), made.normal, atol=1e-3)
        assert np.array_equal(depth.gt_instance.numpy(), made.instance)
        assert np.abs(depth.gt_alpha[0].numpy() - made.alpha).max() < 0.003
        parts = seg(root, images='rgb', labels='seg', alpha='alpha', pipeline=TEST_PIPELINE)[0]['data_samples']
        assert np.array_equal(parts.gt_sem_seg.numpy(), made.part)


def test_people_rendered_while_training():
    dataset = SyntheticHumans(4, SIZE, generator='tests.synthetic.fake:FakeGenerator', pipeline=PIPELINE)
    sample = dataset[Draw(1, 5)]['data_samples']
    assert sample.gt_sem_seg.shape == (64, 48) and sample.gt_normal.shape == (3, 64, 48) and sample.valid_mask.any()
    assert sample.intrinsics.shape == (3, 3)


def test_a_sample_is_its_draw(tmp_path):
    write_labels(tmp_path)
    dataset = seg(tmp_path, pipeline=PIPELINE)
    one, two, other = (dataset[Draw(1, seed)] for seed in (5, 5, 6))
    assert (one['inputs'] == two['inputs']).all() and not (one['inputs'] == other['inputs']).all()
    again = pickle.loads(pickle.dumps(dataset))[Draw(1, 5)]
    assert (again['data_samples'].gt_sem_seg == one['data_samples'].gt_sem_seg).all()


def test_mixtures(tmp_path):
    write_labels(tmp_path / 'a', count=8)
    write_labels(tmp_path / 'b', count=2)
    parts = [seg(tmp_path / 'a'), seg(tmp_path / 'b', source_classes='lip20')]
    mixed = CombinedDataset(parts, weights=[1, 3], length=8, pipeline=PIPELINE)
    paths = [mixed[Draw(i, i)]['data_samples'].img_path for i in range(8)]
    assert sum('/b/' in path for path in paths) == 6 and mixed.metainfo['class_list'] == 'goliath28'
    with pytest.raises(ValueError, match="'goliath28'.*'lip20'"):
        CombinedDataset([parts[0], seg(tmp_path / 'b', 'lip20')])


def test_partners_that_are_missing(tmp_path):
    write_labels(tmp_path, count=9)
    for i in range(7):
        (tmp_path / f'labels/{i:06d}.png').unlink()
    write_png(tmp_path / 'labels/extra.png', np.zeros((3, 3), np.uint8))
    with pytest.raises(ValueError) as error:
        seg(tmp_path)
    text = str(error.value)
    assert '9 images' in text and '7 have no file' in text and 'which has 3' in text and 'partial=True' in text
    assert '000000.jpg' in text and '000004.jpg, ...' in text and '000005.jpg' not in text
    dataset = seg(tmp_path, partial=True)
    assert len(dataset) == 2 and found(dataset) == {'image without sem_seg': 7, 'sem_seg without image': 1}
    findings = Findings()
    dataset.check(findings)
    assert findings.wrong == 0
    for i in (7, 8):
        (tmp_path / f'labels/{i:06d}.png').unlink()
    with pytest.raises(ValueError, match="no image of 'images'.*9 with image without sem_seg"):
        seg(tmp_path, partial=True)


def test_folders_that_are_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder '.*none' \(DATA_ROOT"):
        seg(tmp_path / 'none')
    with pytest.raises(FileNotFoundError, match="no folder '.*labels'"):
        (tmp_path / 'images').mkdir()
        seg(tmp_path)
    (tmp_path / 'labels').mkdir()
    with pytest.raises(ValueError, match='no images in'):
        seg(tmp_path)
    write_labels(tmp_path, count=1)
    write_png(tmp_path / 'images/000000.png', smooth_image(*SIZE))
    with pytest.raises(ValueError, match=r"'images/000000.jpg' and 'images/000000.png'"):
        seg(tmp_path)


@pytest.mark.parametrize(
    'options, text',
    [
        (dict(fields=['mask']), "fields=\\('mask',\\)"),
        (dict(fields=['albedo']), 'albedo_coding=None'),
        (dict(albedo_coding='srgb'), "albedo_coding='srgb'.*has none of albedo"),
        (dict(fields=[]), 'fields'),
        (dict(fields=['normal'], depth_scale=0.1), 'depth_scale=0.1.*has none of depth, pointmap'),
        (dict(depth_scale=0), 'depth_scale=0'),
        (dict(fields=['normal'], normal_frame='opengl'), "normal_frame='opengl'"),
        (dict(part=(0.5, 0.5)), 'part='),
        (dict(part=(0, 0.1)), r'part=\(0, 0.1\) of the 3 samples'),
    ],
)
def test_wrong_arguments(tmp_path, options, text):
    write_geometry(tmp_path)
    with pytest.raises(ValueError, match=text):
        geometry(tmp_path, **options)


def test_findings_in_label_maps(tmp_path):
    write_labels(tmp_path, count=6)
    write_png(tmp_path / 'labels/000000.png', np.full(SIZE[::-1], 28, np.uint8))
    write_png(tmp_path / 'labels/000001.png', np.full(SIZE[::-1], 255, np.uint8))
    write_png(tmp_path / 'labels/000002.png', np.zeros((5, 5), np.uint8))
    write_png(tmp_path / 'labels/000003.png', np.zeros(SIZE[::-1], np.uint8))
    (tmp_path / 'labels/000004.png').write_bytes(b'')
    wanted = {
        'missing or empty sem_seg file': 1,
        'label that is neither a class (0 to 27) nor 255, ignored': 1,
        'label map without a labeled pixel': 1,
        'sem_seg of another size than its image': 1,
        'label map that is all background': 1,
    }
    assert found(seg(tmp_path)) == wanted
    findings = Findings()
    seg(tmp_path).check(findings, read=False)  # a hundred are looked at anyway
    assert findings.wrong == 4
    assert (
        '28 on 100.0% of the pixels'
        in findings['label that is neither a class (0 to 27) nor 255, ignored'].examples[0]
    )
    # Labels of the source list that have no partner are not at fault.
    assert 'label that is neither' not in str(found(seg(tmp_path, source_classes='goliath34')))


def test_labels_of_a_hundred_samples_are_read_unless_all_are(monkeypatch):
    class Numbers:
        def __len__(self):
            return 1000

        def load(self, index):
            return dict(label_files={}, index=index)

    looked_at = []
    monkeypatch.setattr(
        label_checks, '_check_sample', lambda findings, results, centers: looked_at.append(results['index'])
    )
    label_checks.check_label_files(Findings(), Numbers(), read=False)
    assert len(looked_at) == 100 and looked_at[::99] == [0, 999] and max(np.diff(looked_at)) == 11
    looked_at.clear()
    label_checks.check_label_files(Findings(), Numbers(), read=True)
    assert looked_at == list(range(1000))


def test_images_are_decoded_on_demand(tmp_path):
    write_labels(tmp_path)
    picture = tmp_path / 'images/000001.jpg'
    picture.write_bytes(picture.read_bytes()[:-300])
    findings = Findings()
    seg(tmp_path).check(findings)
    assert not findings and found(seg(tmp_path)) == {'unreadable image': 1}


def test_findings_in_depth_and_normals(tmp_path):
    scene = write_geometry(tmp_path, count=8)
    mask = scene['gt_mask']
    write_array(tmp_path / 'depth/000000.npy', np.where(mask, -scene['gt_depth'], 1).astype(np.float32))
    write_array(tmp_path / 'depth/000001.npy', np.where(mask, np.nan, 1).astype(np.float32))
    write_png(tmp_path / 'mask/000002.png', np.zeros(SIZE[::-1], np.uint8))
    write_array(tmp_path / 'depth/000003.npy', scene['gt_depth'][1:])
    write_array(tmp_path / 'normal/000004.npy', scene['gt_normal'] * np.float32([2, -2, -2]))
    write_array(tmp_path / 'normal/000005.npy', scene['gt_normal'])  # in our frame
    write_array(tmp_path / 'normal/000006.npy', scene['gt_normal'] * 0)
    (tmp_path / 'depth/000007.npy').write_bytes(b'nonsense')
    dataset = geometry(tmp_path, fields=['depth', 'normal'])
    assert found(dataset) == {
        'depth of people below 0': 1,
        'depth of people that is 0 or not finite': 1,
        'mask without people': 1,
        'depth of another size than its image': 1,
        'normals that are not unit vectors': 1,
        'normals of people that mostly look away from the camera: is normal_frame= that of the files?': 1,
        'normals of people that are 0 or not finite': 1,
        'unusable depth file': 1,
    }


def test_samples_are_run_through_the_pipeline(tmp_path):
    write_geometry(tmp_path)
    dataset = geometry(tmp_path, pipeline=PIPELINE)
    findings = Findings()
    text = check_samples(findings, dataset, [Draw(i, i) for i in range(3)], statistics_of(get_task('depth')))
    assert text.startswith('3 samples went through the pipeline. Labels count on ') and not findings
    write_png(tmp_path / 'mask/000000.png', np.zeros(SIZE[::-1], np.uint8))
    check_samples(findings, dataset, [Draw(i, i) for i in range(2)], statistics_of(get_task('depth')))
    assert list(findings) == ['sample without a labeled pixel'] and findings.wrong == 0
    check_samples(findings, dataset, [Draw(0, 0)], statistics_of(get_task('depth')))
    assert findings.wrong == 1


def test_labels_that_are_no_class_are_bad_files(tmp_path):
    write_labels(tmp_path, count=2)
    write_png(tmp_path / 'labels/000000.png', np.full(SIZE[::-1], 28, np.uint8))
    sample = seg(tmp_path, pipeline=PIPELINE)[Draw(0, 1)]
    assert sample['data_samples'].img_path.endswith('000001.jpg')
    assert 'labels/000000.png: labels [28]' in sample['bad'][0][1]
    with pytest.raises(ValueError, match='test mode'):
        seg(tmp_path, pipeline=TEST_PIPELINE, test_mode=True)[0]


def test_masks_of_0_and_255(tmp_path):
    labels = write_labels(tmp_path)
    for number in range(3):
        write_png(tmp_path / f'labels/{number:06d}.png', np.where(labels > 0, 255, 0).astype(np.uint8))
    [what] = set(found(seg(tmp_path))) - {'label map that is all background'}
    assert what.startswith('label files with sem_seg 0 as the only value') and 'Is 255, which is ignored' in what
    findings = Findings()
    seg(tmp_path).check(findings, read=False)
    assert findings.wrong == 1


@pytest.mark.parametrize('background', [1e10, 65.535])
def test_depth_of_the_background_at_the_edges_of_masks(background, tmp_path):
    scene = write_geometry(tmp_path)
    depth, inner = scene['gt_depth'], cv2.erode(scene['gt_mask'].astype(np.uint8), np.ones((3, 3))) > 0
    for number in range(3):
        write_array(tmp_path / f'depth/{number:06d}.npy', np.where(inner, depth, background).astype(np.float32))
    findings = Findings()
    geometry(tmp_path).check(findings, read=False)
    assert findings.wrong and all('depth' in what for what in findings)


@pytest.mark.parametrize(
    ('dtype', 'tolerated'), [(np.uint8, 0.05), (np.uint16, 0.01), (np.float32, 0.01), (np.float16, 0.01)]
)
def test_lengths_of_normals_are_judged_as_they_are_stored(tmp_path, dtype, tolerated):
    """Integers hold (n + 1) / 2 of their range. 8 bits round a unit vector by up to 2 percent."""
    rng = np.random.default_rng(0)
    unit = rng.normal(size=(40, 50, 3))
    unit /= np.linalg.norm(unit, axis=-1, keepdims=True)
    unit[..., 2] = -np.abs(unit[..., 2])

    def findings(normal, mask=None):
        if np.issubdtype(dtype, np.integer):
            stored = np.rint((normal + 1) / 2 * np.iinfo(dtype).max).astype(dtype)
            path = tmp_path / 'a.png'
            path.write_bytes(cv2.imencode('.png', stored[..., ::-1])[1].tobytes())
        else:
            path = tmp_path / 'a.npy'
            np.save(path, normal.astype(dtype))
        found = Findings()
        label_checks._check_normals(found, unit.astype(np.float32), mask, str(path), {})
        return {what: finding.examples[0].partition(': ')[2] for what, finding in found.items()}

    assert findings(unit) == findings(unit * (1 - 0.4 * tolerated)) == {}
    shorter = findings(unit * (1 - 3 * tolerated))
    assert shorter.keys() == {'normals that are not unit vectors'}
    share, _, length = shorter.popitem()[1].partition(' of the pixels, such as length ')
    assert float(share[:-1]) > 99 and float(length) == pytest.approx(1 - 3 * tolerated, abs=0.01)
    few = unit.copy()
    few[0, :19] *= 0.5  # 0.95 percent of the pixels
    assert findings(few) == {}
    few[0, :21] = 0.5 * unit[0, :21]
    assert findings(few)['normals that are not unit vectors'].startswith('1.1% of the pixels')  # 1.05
    assert findings(few, mask=np.arange(40)[:, None] + np.zeros((40, 50)) > 0) == {}, 'only people count'
    unit[..., 2] *= -1
    people = np.ones((40, 50), bool)
    assert findings(unit) == {} and any('look away' in what for what in findings(unit, people))
