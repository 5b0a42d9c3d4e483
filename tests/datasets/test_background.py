"""Random backgrounds and the transfer of colors."""

import json

import cv2
import numpy as np
import pytest

from sapiens.datasets.transforms import BadImage, RandomBackground
from sapiens.datasets.transforms.background import _names_of_folder, compose

from .helpers import encode, smooth_image

SIZE = (40, 50)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / 'photos'
    (folder / 'more').mkdir(parents=True)
    for name, size, level in (('a.jpg', (100, 50), 40), ('b.png', (20, 50), 90), ('more/c.jpg', (40, 50), 140)):
        (folder / name).write_bytes(
            encode(np.full((size[1], size[0], 3), level, np.uint8), name[-3:].upper().replace('JPG', 'JPEG'))
        )
    return folder


def person() -> dict:
    mask = np.zeros(SIZE[::-1], bool)
    mask[10:40, 8:30] = True
    return dict(img=smooth_image(*SIZE), img_path='p', gt_mask=mask)


def reinhard(image, behind, mask, strength=1.0):
    """The formula in plain float arithmetic."""
    front, far = (cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB).astype(np.float64) for pixels in (image, behind))
    seen = np.zeros(mask.shape, bool)
    seen[::4, ::4] = ~mask[::4, ::4]
    for channel in range(3):
        x = front[..., channel]
        inside, outside = x[mask], far[seen][:, channel]
        moved = outside.mean() + (x - inside.mean()) * outside.std() / inside.std()
        front[..., channel] = x + strength * (moved - x)
    moved = cv2.cvtColor(np.clip(np.round(front), 0, 255).astype(np.uint8), cv2.COLOR_LAB2RGB)
    return np.where(mask[..., None], moved, behind)


@pytest.mark.parametrize('strength', [0, 0.4, 1])
def test_transfer_is_reinhards(strength):
    mask = person()['gt_mask']
    for seed in range(5):
        image, behind = smooth_image(*SIZE, seed=seed), smooth_image(*SIZE, seed=seed + 50)
        found = compose(image, behind, mask, None, strength).astype(int)
        wanted = reinhard(image, behind, mask, strength)
        # 8-bit CIELAB and back; a table may round the other way.
        if strength:
            assert abs(found - wanted).max() <= 6 and abs(found - wanted).mean() < 1
        else:
            assert np.array_equal(found[mask], image[mask])
        assert np.array_equal(found[~mask], behind[~mask])


def test_the_direction_is_from_the_background_to_the_person():
    rng = np.random.default_rng(0)
    image = rng.integers(100, 140, (50, 40, 3)).astype(np.uint8)
    mask = person()['gt_mask']
    dark = rng.integers(10, 40, (50, 40, 3)).astype(np.uint8)
    assert compose(image, dark, mask)[mask].mean() < 45
    contrasty = rng.choice(np.array([60, 180], np.uint8), (50, 40, 1)).repeat(3, -1)
    assert compose(image, contrasty, mask)[mask].std() > 2 * image[mask].std()


def test_soft_edges():
    results = person()
    alpha = cv2.GaussianBlur(results['gt_mask'].astype(np.float32), (7, 7), 0)
    behind = smooth_image(*SIZE, seed=9)
    found = compose(results['img'], behind, results['gt_mask'], alpha, 0.0).astype(float)
    wanted = alpha[..., None] * results['img'] + (1 - alpha[..., None]) * behind
    assert abs(found - wanted).max() <= 1
    assert ((alpha > 0) & ~results['gt_mask']).any()


def test_no_person_and_a_flat_person():
    results = person()
    behind = smooth_image(*SIZE, seed=9)
    nobody = np.zeros(SIZE[::-1], bool)
    assert np.array_equal(compose(results['img'], behind, nobody), behind)
    assert np.array_equal(
        compose(results['img'], behind, ~nobody), results['img']
    )  # no background that could give colors
    flat = compose(np.full_like(behind, 200), behind, results['gt_mask'])[results['gt_mask']]
    assert np.ptp(flat.astype(int), axis=0).max() == 0 and abs(flat.mean() - behind.mean()) < 25


def test_photographs_are_found_and_fitted(photos):
    make = RandomBackground(str(photos), prob=1, color_transfer=0)
    assert 'RandomBackground(3 photographs' in repr(make)
    seen = {}
    for seed in range(20):
        np.random.seed(seed)
        results = make(person())
        outside = results['img'][~results['gt_mask']]
        seen[results['background'][len(str(photos)) + 1 :]] = int(outside[0, 0])
        assert np.ptp(outside) <= 1 and np.array_equal(
            results['img'][results['gt_mask']], person()['img'][results['gt_mask']]
        )
    assert seen.keys() == {'a.jpg', 'b.png', 'more/c.jpg'} and seen['b.png'] == 90


def test_the_middle_is_seen(tmp_path):
    (tmp_path / 'x').mkdir()
    wide = np.zeros((50, 120, 3), np.uint8)
    wide[:, 40:80] = 200
    (tmp_path / 'x/wide.png').write_bytes(encode(wide, 'PNG'))
    results = RandomBackground(str(tmp_path / 'x'), prob=1, color_transfer=0)(person())
    assert (results['img'][~results['gt_mask']] == 200).all()
    narrow = np.zeros((50, 20, 3), np.uint8)
    narrow[:, 10:] = 200
    (tmp_path / 'x/wide.png').write_bytes(encode(narrow, 'PNG'))
    results = RandomBackground(str(tmp_path / 'x'), prob=1, color_transfer=0)(person())
    assert (results['img'][0, :18] == 0).all() and (results['img'][0, 22:] == 200).all()


def test_foreground(photos):
    labels = np.zeros(SIZE[::-1], np.uint8)
    labels[5:9], labels[20:24] = 3, 255
    for ignored in (True, False):
        given = dict(img=smooth_image(*SIZE), img_path='p', gt_sem_seg=labels)
        found = RandomBackground(str(photos), prob=1, color_transfer=0, ignored=ignored)(given)['img']
        assert np.array_equal(found[5:9], smooth_image(*SIZE)[5:9])
        assert np.array_equal(found[20:24], smooth_image(*SIZE)[20:24]) == ignored
    with pytest.raises(ValueError, match='LoadLabels'):
        RandomBackground(str(photos), prob=1)(dict(img=smooth_image(*SIZE), img_path='p'))
    with pytest.raises(BadImage, match='labels are 40 x 49'):
        RandomBackground(str(photos), prob=1)(dict(img=smooth_image(*SIZE), img_path='p', gt_sem_seg=labels[1:]))


def test_probability_and_reading(photos, tmp_path):
    (tmp_path / 'p.png').write_bytes(encode(smooth_image(*SIZE), 'PNG'))
    make, changed = RandomBackground(str(photos), prob=0.3), 0
    for seed in range(200):
        np.random.seed(seed)
        results = make(dict(img_path=str(tmp_path / 'p.png'), gt_mask=person()['gt_mask']))
        changed += 'img' in results
        assert ('background' in results) == ('img' in results)
    assert abs(changed / 200 - 0.3) < 0.1


def test_samples_that_do_not_tell_where_people_are(photos):
    """A photograph beside rendered people has no mask; what class ids are unknown is no mask either."""
    unknown = {key: value for key, value in person().items() if key != 'gt_mask'}
    with pytest.raises(ValueError, match='needs gt_mask, gt_sem_seg or gt_alpha'):
        RandomBackground(str(photos), prob=1.0)(dict(unknown))
    for labels in ({}, dict(gt_sem_seg=np.full(SIZE[::-1], 255, np.uint8))):
        after = RandomBackground(str(photos), prob=1.0, optional=True)({**unknown, **labels})
        assert after['img'] is unknown['img'] and 'background' not in after
    assert 'background' in RandomBackground(str(photos), prob=1.0, optional=True)(person())


def coco(path, people=(1, 3), category=1):
    images = [dict(id=i, file_name=f'{i}.jpg', width=4, height=4) for i in range(1, 6)]
    annotations = [dict(id=i, image_id=i, category_id=category, iscrowd=i % 2, bbox=[0, 0, 1, 1]) for i in people]
    annotations.append(dict(id=99, image_id=2, category_id=18, iscrowd=0, bbox=[0, 0, 1, 1]))
    path.write_text(json.dumps(dict(images=images, annotations=annotations, categories=[])))
    return str(path)


def test_images_of_people_are_left_out(tmp_path):
    folder = tmp_path / 'val'
    folder.mkdir()
    for i in (1, 2, 3, 4):  # 5 is listed and not there
        (folder / f'{i}.jpg').write_bytes(encode(smooth_image(30, 30)))
    (folder / 'unlisted.jpg').write_bytes(encode(smooth_image(30, 30)))
    make = RandomBackground(str(folder), ann_file=coco(tmp_path / 'a.json'))
    assert [make.backgrounds.table[i] for i in range(len(make.backgrounds))] == ['2.jpg', '4.jpg']
    with pytest.raises(ValueError, match='all listed ones show people'):
        RandomBackground(str(folder), ann_file=coco(tmp_path / 'b.json', people=(1, 2, 3, 4, 5)))
    with pytest.raises(FileNotFoundError, match='c.json'):
        RandomBackground(str(folder), ann_file=str(tmp_path / 'c.json'))
    (tmp_path / 'd.json').write_text('[1, 2]')
    with pytest.raises(ValueError, match="d.json.*COCO's format"):
        RandomBackground(str(folder), ann_file=str(tmp_path / 'd.json'))
    other = tmp_path / 'other'
    other.mkdir()
    with pytest.raises(ValueError, match="none of the 3 images without people.*'2.jpg'"):
        RandomBackground(str(other), ann_file=coco(tmp_path / 'a.json'))


def test_no_photographs_are_an_error(tmp_path, photos):
    with pytest.raises(FileNotFoundError, match='no folder of backgrounds'):
        RandomBackground(str(tmp_path / 'none'))
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match='no backgrounds in'):
        RandomBackground(str(tmp_path / 'empty'))
    for options in (dict(prob=2), dict(color_transfer=-1)):
        with pytest.raises(ValueError, match='expected a number from 0 to 1'):
            RandomBackground(str(photos), **options)
    (tmp_path / 'empty/a.jpg').write_bytes(b'broken')
    with pytest.raises(BadImage, match=r'background .*empty/a.jpg: not an image'):
        RandomBackground(str(tmp_path / 'empty'), prob=1)(person())


def test_hidden_files_are_skipped(photos):
    (photos / '._a.jpg').write_bytes(b'resource fork, not an image')
    (photos / '.thumbnails').mkdir()
    (photos / '.thumbnails' / 'd.jpg').write_bytes(b'')
    assert list(_names_of_folder(str(photos))) == ['a.jpg', 'b.png', 'more/c.jpg']
