import json

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from sapiens.datasets import GeometryDataset, MattingDataset
from sapiens.frames import to_published
from sapiens.metainfo import build_metainfo, get_skeleton
from sapiens.synthetic.annotations import FILES
from sapiens.synthetic.writer import (
    CARD,
    KINDS,
    SampleWriter,
    begin_folder,
    estimate_bytes,
    finish_folder,
    read_labels,
)

from .fake import FakeGenerator

SIZE, OPTIONS = (40, 56), dict(size=(40, 56), seed=0)


@pytest.fixture(scope='module')
def samples():
    return [FakeGenerator(SIZE, (2, 3))(seed) for seed in range(3)]


@pytest.fixture(scope='module')
def root(samples, tmp_path_factory):
    root = tmp_path_factory.mktemp('data') / 'set'
    writer = SampleWriter(root)
    begin_folder(root, 3, OPTIONS)
    for index, sample in enumerate(samples):
        writer.write(index, sample)
    finish_folder(root, writer)
    return root


def test_files_match_the_card(root, samples):
    for index, sample in enumerate(samples):
        stem = f'{index:06d}'
        np.testing.assert_array_equal(cv2.imread(str(root / f'rgb/{stem}.png'))[..., ::-1], sample.image)
        mask = cv2.imread(str(root / f'mask/{stem}.png'), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(mask, np.where(sample.instance > 0, 255, 0))
        for folder, field in (('seg', 'part'), ('lip', 'lip'), ('instance', 'instance')):
            image = cv2.imread(str(root / f'{folder}/{stem}.png'), cv2.IMREAD_UNCHANGED)
            assert image.dtype == np.uint8
            np.testing.assert_array_equal(image, getattr(sample, field))
        depth, normal = np.load(root / f'depth/{stem}.npy'), np.load(root / f'normal/{stem}.npy')
        assert depth.dtype == normal.dtype == np.float32
        np.testing.assert_array_equal(depth, sample.depth)
        np.testing.assert_array_equal(normal, to_published(sample.normal))
        assert (normal[sample.mask][:, 2] > 0).all() and (normal[~sample.mask] == 0).all()
        albedo = cv2.imread(str(root / f'albedo/{stem}.png'), cv2.IMREAD_UNCHANGED)[..., ::-1]
        assert albedo.dtype == np.uint16 and abs(albedo / 65535 - sample.albedo).max() < 1e-5
        alpha = cv2.imread(str(root / f'alpha/{stem}.png'), cv2.IMREAD_UNCHANGED)
        assert abs(alpha / 255 - sample.alpha).max() < 0.002
        colors = cv2.imread(str(root / f'foreground/{stem}.png'), cv2.IMREAD_UNCHANGED)[..., [2, 1, 0, 3]]
        np.testing.assert_array_equal(colors[..., 3], alpha)
        assert abs(colors[..., :3] / 255 * (alpha / 255)[..., None] - sample.foreground).max() < 0.004
        np.testing.assert_array_equal(colors, read_labels(root, index)['foreground'])
        intrinsics = np.loadtxt(root / f'camera_intrinsics/{stem}.txt')
        extrinsics = np.loadtxt(root / f'camera_extrinsics/{stem}.txt')
        np.testing.assert_allclose(intrinsics, sample.camera.intrinsics)
        point = np.array([0.1, 0.2, 3])
        np.testing.assert_allclose((extrinsics @ [*point, 1])[:3], sample.camera.to_camera(point), rtol=1e-9)


def test_reading_back(root, samples):
    labels = read_labels(root, 1)
    assert set(labels) == {'entry', 'rgb', *KINDS}
    np.testing.assert_array_equal(labels['rgb'], samples[1].image)
    np.testing.assert_array_equal(labels['depth'], samples[1].depth)
    np.testing.assert_array_equal(labels['camera'].rotation, samples[1].camera.rotation)
    assert labels['entry']['seed'] == 1 and labels['entry']['people'][0]['attributes'] == {'age': 0.1}


@pytest.mark.parametrize('skeleton', FILES)
def test_pycocotools_reads_the_annotations(root, samples, skeleton):
    coco = COCO(str(root / FILES[skeleton]))
    assert coco.getImgIds() == [0, 1, 2] and coco.getCatIds(catNms=['person']) == [1]
    for index, sample in enumerate(samples):
        assert (root / coco.imgs[index]['file_name']).is_file()
        annotations = coco.imgToAnns[index]
        assert len(annotations) == len(sample.people) > 0
        for annotation, person in zip(annotations, sample.people, strict=True):
            assert annotation['id'] % 256 == person.instance and annotation['id'] > 0
            mask = coco.annToMask(annotation)
            np.testing.assert_array_equal(mask, sample.instance == person.instance)
            assert annotation['area'] == person.area == mask.sum()
            assert annotation['bbox'] == person.bbox.tolist()
            if skeleton != 'wholebody133':
                points = np.array(annotation['keypoints']).reshape(-1, 3)
                np.testing.assert_allclose(points, person.keypoints[skeleton], atol=5.1e-4)
                assert annotation['num_keypoints'] == (points[:, 2] > 0).sum()
    category = coco.cats[1]
    if skeleton == 'goliath308':
        assert category['keypoints'] == list(get_skeleton('goliath308').keypoints)
        assert np.array(category['skeleton']).min() >= 1 and np.array(category['skeleton']).max() <= 308
    else:
        assert category['keypoints'] == list(get_skeleton('coco17').keypoints)


def test_wholebody_fields(root, samples):
    coco = COCO(str(root / FILES['wholebody133']))
    annotation, person = coco.imgToAnns[0][0], samples[0].people[0]
    fields = ('keypoints', 'foot_kpts', 'face_kpts', 'lefthand_kpts', 'righthand_kpts')
    assert [len(annotation[field]) // 3 for field in fields] == [17, 6, 68, 21, 21]
    points = np.concatenate([annotation[field] for field in fields]).reshape(-1, 3)
    np.testing.assert_allclose(points, person.keypoints['wholebody133'], atol=5.1e-4)
    for stem, rows in (('face', slice(23, 91)), ('lefthand', slice(91, 112)), ('righthand', slice(112, 133))):
        part = points[rows]
        assert annotation[f'{stem}_valid'] == (part[:, 2] == 2).any()
        known = part[part[:, 2] > 0, :2]
        x, y, w, h = annotation[f'{stem}_box']
        if len(known):
            np.testing.assert_allclose([x, y, x + w, y + h], [*known.min(0), *known.max(0)], atol=2e-3)
    assert annotation['num_keypoints'] == (points[:17, 2] > 0).sum()


@pytest.mark.parametrize('skeleton', FILES)
def test_mmpose_reads_the_annotations(root, samples, skeleton):
    from mmpose.datasets import CocoDataset, CocoWholeBodyDataset  # after sapiens, which adapts what it imports

    kind = CocoWholeBodyDataset if skeleton == 'wholebody133' else CocoDataset
    meta = dict(metainfo=build_metainfo(skeleton)) if skeleton == 'goliath308' else {}
    dataset = kind(ann_file=FILES[skeleton], data_root=str(root), data_prefix=dict(img=''), pipeline=[], **meta)
    people = [person for sample in samples for person in sample.people]
    assert len(dataset) == len(people)
    for info, person in zip((dataset.get_data_info(i) for i in range(len(dataset))), people, strict=True):
        points = person.keypoints[skeleton]
        np.testing.assert_allclose(info['keypoints'][0], points[:, :2], atol=5.1e-4)
        np.testing.assert_array_equal(info['keypoints_visible'][0], points[:, 2] > 0)
        assert (root / info['img_path']).is_file()


def test_the_card_counts(root, samples):
    card = json.loads((root / CARD).read_text())
    assert card['complete'] and card['images'] == 3 and card['people'] == sum(len(s.people) for s in samples)
    for name, count in card['visible_keypoints'].items():
        assert count == sum((p.keypoints[name][:, 2] == 2).sum() for s in samples for p in s.people)
    for name, field in (('goliath28', 'part'), ('lip20', 'lip')):
        assert sum(card['pixels'][name].values()) == 3 * SIZE[0] * SIZE[1]
        assert card['pixels'][name]['Background'] == sum((getattr(s, field) == 0).sum() for s in samples)
    assert card['pixels']['lip20']['ignored'] == sum((s.lip == 255).sum() for s in samples) > 0
    assert card['bytes'] == sum(
        path.stat().st_size for path in root.rglob('*') if path.is_file() and path.name != CARD
    )
    assert card['licences']['images'] == 'CC0-1.0' and 'rgb' in card['files']


def test_backgrounds_decide_the_licence(samples, tmp_path):
    writer = SampleWriter(tmp_path / 'set', ['mask'])
    begin_folder(writer.root, 1, dict(OPTIONS, backgrounds='/photos'))
    writer.write(0, samples[0])
    card = finish_folder(writer.root, writer)
    assert (
        card['licences']['images'] == 'that of the backgrounds in /photos' and card['licences']['labels'] == 'CC0-1.0'
    )
    assert json.loads((writer.root / FILES['coco17']).read_text())['licenses'][0]['name'] == card['licences']['images']


def test_chosen_kinds_jpeg_and_compact(samples, tmp_path):
    writer = SampleWriter(tmp_path, ['normal', 'mask'], 'jpg', compact=True)
    writer.write(4, samples[0])
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob('*') if path.is_file())
    assert found == ['labels/000004.json', 'mask/000004.png', 'normal/000004.npz', 'rgb/000004.jpg']
    normal = np.load(tmp_path / 'normal/000004.npz')['normal']
    assert normal.dtype == np.float16
    assert abs(normal - to_published(samples[0].normal)).max() < 5e-4
    np.testing.assert_array_equal(read_labels(tmp_path, 4)['normal'], normal)


def test_a_sample_counts_when_it_is_complete(samples, tmp_path):
    writer = SampleWriter(tmp_path)
    assert not writer.is_complete(0)
    writer.write(0, samples[0])
    assert writer.is_complete(0) and not writer.is_complete(1) and not list(tmp_path.rglob('.*.tmp'))
    for name in writer.files(0):
        (tmp_path / name).rename(tmp_path / 'away')
        assert not writer.is_complete(0), name
        (tmp_path / 'away').rename(tmp_path / name)

    class Killed(BaseException):
        pass

    def stop(folder, *rest):
        if folder == 'alpha':
            raise Killed
        return SampleWriter._encode(writer_1, folder, *rest)

    writer_1 = SampleWriter(tmp_path)
    writer_1._encode = stop
    with pytest.raises(Killed):
        writer_1.write(1, samples[1])
    assert (tmp_path / 'rgb/000001.png').is_file() and not writer.is_complete(1)


def test_a_folder_is_continued_with_the_same_options_only(tmp_path):
    root = tmp_path / 'set'
    begin_folder(root, 5, OPTIONS)
    begin_folder(root, 5, OPTIONS)
    begin_folder(root, 8, OPTIONS)
    with pytest.raises(ValueError, match=r'begun with seed = 0, this run has seed = 1'):
        begin_folder(root, 8, dict(OPTIONS, seed=1))
    (root / 'labels').mkdir()
    (root / 'labels/000005.json').touch()
    with pytest.raises(ValueError, match=r'images up to number 5, this run asks for 5 images.*ask for 6 or more'):
        begin_folder(root, 5, OPTIONS)
    begin_folder(root, 6, OPTIONS)  # fewer than it was begun for
    begin_folder(root, 8, OPTIONS)
    with pytest.raises(ValueError, match=r'samples = None, this run has samples = 3'):
        begin_folder(root, 8, dict(OPTIONS, samples=3))
    (tmp_path / 'holiday.jpg').touch()
    with pytest.raises(ValueError, match=r'not empty'):
        begin_folder(tmp_path, 5, OPTIONS)


def test_unknown_kinds_and_formats_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\['depht'\].*mask, depth"):
        SampleWriter(tmp_path, ['depht'])
    with pytest.raises(ValueError, match=r"'webp'"):
        SampleWriter(tmp_path, image_format='webp')


def test_estimate_is_exact_for_plain_arrays(tmp_path):
    everything, without = SampleWriter(tmp_path), SampleWriter(tmp_path, [k for k in KINDS if k != 'depth'])
    assert estimate_bytes((100, 200), everything) - estimate_bytes((100, 200), without) == 4 * 100 * 200
    assert estimate_bytes((100, 200), SampleWriter(tmp_path, compact=True)) < estimate_bytes((100, 200), everything)


def test_lists_of_the_published_matting_readers(root, samples):
    """The files are read back as they were made, in all forms."""
    pairs = json.loads((root / 'annotations/matting.json').read_text())
    assert pairs[1] == dict(image='rgb/000001.png', mask='foreground/000001.png') and len(pairs) == 3
    load = [dict(type='LoadLabels', fields=['alpha', 'foreground'])]
    for data in (
        MattingDataset(str(root), 'annotations/matting.json', pipeline=load),
        MattingDataset(str(root), pipeline=load),
        GeometryDataset(str(root), ['alpha', 'foreground'], pipeline=load),
    ):
        found = data[1]
        assert abs(found['gt_alpha'] - samples[1].alpha).max() < 0.002 and found['valid_foreground'].all()
        assert abs(found['gt_foreground'] - samples[1].foreground).max() < 0.004
    compose = [dict(type='ComposeRGBA', root=str(root / 'rgb'))]
    listed = MattingDataset(str(root), 'annotations/foreground.txt', pipeline=compose)
    assert len(listed) == 3 and abs(listed[2]['gt_foreground'] - samples[2].foreground).max() < 0.004


@pytest.mark.parametrize('folder', ['camera', 'camera_intrinsics'])
def test_pointmaps_of_the_written_cameras(root, samples, folder):
    load = [dict(type='LoadLabels', fields=['pointmap'])]
    found = GeometryDataset(str(root), ['pointmap'], camera=folder, pipeline=load)[1]
    np.testing.assert_allclose(found['gt_pointmap'], samples[1].camera.unproject(samples[1].depth), atol=1e-5)
    np.testing.assert_allclose(found['intrinsics'], samples[1].camera.intrinsics)


def test_albedo_that_was_written_is_linear(root, samples):
    load = [dict(type='LoadLabels', fields=['albedo'])]
    found = GeometryDataset(str(root), ['albedo'], albedo_coding='linear', pipeline=load)[1]
    np.testing.assert_allclose(found['gt_albedo'], samples[1].albedo, atol=1e-5)
