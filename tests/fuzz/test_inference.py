"""Random changes of what inference reads: images, masks, its results and its record. Each is used, or refused by name."""

import io
import json
import random

import numpy as np
import pytest
import torch
from PIL import Image

from sapiens.apis import build_model
from sapiens.apis.batch_job import Plan
from sapiens.apis.results import Saving
from sapiens.apis.run_record import check_settings, read_record, write_settings
from sapiens.apis.video.video_job import VideoOptions
from sapiens.apis.writers.pose_formats import read_people, write_coco, write_csv
from sapiens.metainfo import get_skeleton

from ..apis.test_results import pose
from ..apis.tiny import ROOT, picture
from ..integration.test_infer import failures_of, infer  # noqa: F401  (a fixture)
from .mutations import damage_bytes, damage_json

SEED, IMAGES, DOCUMENTS = 0, 48, 200


def documents(document):
    """Changed files of a document: its values, or its bytes."""
    rng = np.random.default_rng(SEED)
    for index in range(DOCUMENTS):
        text = json.dumps(damage_json(document, rng) if index % 3 else document).encode()
        yield index, text if index % 3 else damage_bytes(text, rng)


def pictures(count: int, seed: int) -> dict[str, bytes]:
    """Changed image files by name, and some that are not."""
    draw, rng = random.Random(seed), np.random.default_rng(seed)
    made, formats = {}, ('JPEG', 'PNG', 'WEBP', 'BMP', 'TIFF', 'GIF')
    for index in range(count):
        kind = formats[index % len(formats)]
        image = Image.fromarray(picture((draw.randrange(1, 90), draw.randrange(1, 90)), index % 5))
        image = image.convert(draw.choice(('RGB', 'L', 'P') if kind in ('PNG', 'GIF', 'TIFF') else ('RGB',)))
        file = io.BytesIO()
        image.save(file, kind)
        content = file.getvalue()
        suffix = draw.choice(('.jpg', '.png', f'.{kind.lower()}'))
        made[f'{index}{suffix}'] = content if index % 10 == 0 else damage_bytes(content, rng)
    return made


@pytest.fixture(scope='module')
def models(tmp_path_factory):
    """Config and weights of narrow models."""
    root, made = tmp_path_factory.mktemp('models'), {}
    arch = dict(embed_dims=32, num_layers=1, num_heads=2, feedforward_channels=32)
    for task, base in (('pose', 'sapiens_tiny_synthetic17-128x96'), ('depth', 'sapiens_tiny_synthetic-128x96')):
        made[task] = root / f'{task}.py', root / f'{task}.pth'
        made[task][0].write_text(
            f"_base_ = '{ROOT}/configs/{task}/{base}.py'\nmodel = dict(backbone=dict(arch=dict(_delete_=True, **{arch})))\n"
        )
        torch.save(dict(state_dict=build_model(made[task][0], device='cpu').state_dict(), meta={}), made[task][1])
    return made


def check_run(infer, tmp_path, task, models, count, *options):  # noqa: F811
    """Each image has results or is a failure, in the first run and in the second, which computes nothing again."""
    folder, out = tmp_path / 'in', tmp_path / 'out'
    config, weights = models[task]
    command = (task, folder, '--model', config, '--checkpoint', weights, '--out', out, '--flip-test', *options)
    before = {path: path.read_bytes() for path in folder.rglob('*') if path.is_file()}
    code, text, errors = infer(*command)
    assert code < 2, errors
    failed = failures_of(out) if code else {}
    assert code == int(bool(failed)) and all(failed.values()), errors
    assert f'{count} images, 0 of them done already' in text and f'results of {count - len(failed)} images' in text
    assert 0 < len(failed) < count, 'some are used and some are not'
    code, text, errors = infer(*command)
    assert f'{count - len(failed)} of them done already' in text and 'results of 0 images' in text, errors
    assert (failures_of(out) if code else {}).keys() == failed.keys()
    assert {path: path.read_bytes() for path in folder.rglob('*') if path.is_file()} == before
    return failed


def write_folder(tmp_path, count, seed):
    (tmp_path / 'in').mkdir()
    files = pictures(count, seed)
    for name, content in files.items():
        (tmp_path / 'in' / name).write_bytes(content)
    (tmp_path / 'in/loop.png').symlink_to('loop.png')
    (tmp_path / 'in/endless.png').symlink_to('/dev/zero')
    (tmp_path / 'in' / ('z' * 251 + '.png')).write_bytes(files['0.jpg' if '0.jpg' in files else next(iter(files))])
    return len(files) + 3


@pytest.mark.parametrize('seed', [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 9))])
def test_folders_of_changed_images(infer, models, tmp_path, seed):  # noqa: F811
    count = write_folder(tmp_path, IMAGES, seed)
    check_run(infer, tmp_path, 'pose', models, count, '--csv')
    people = json.loads((tmp_path / 'out/keypoints.coco.json').read_text())
    done = [path for path in (tmp_path / 'out').glob('*.json') if path.name[0] != '.' and 'coco' not in path.name]
    assert len(people) == len(done) == (tmp_path / 'out/keypoints.csv').read_text().count('\n') - 1
    assert len({entry['image_id'] for entry in people}) == len(people)


def test_changed_masks(infer, models, tmp_path):  # noqa: F811
    draw, rng = random.Random(SEED), np.random.default_rng(SEED)
    masks = tmp_path / 'masks'
    masks.mkdir()
    (tmp_path / 'in').mkdir()
    for index in range(IMAGES):
        Image.fromarray(picture((30, 20), index % 5)).save(tmp_path / f'in/{index}.png')
        file = io.BytesIO()
        mask = (picture((30, 20), index)[..., 0] > 120).astype(draw.choice(('bool', 'u1', 'f4', 'i8', '<U2', 'c8')))
        if index % 2:
            np.save(file, mask)
        else:
            Image.fromarray(mask.astype('u1') * 255 if mask.dtype.kind in 'bu' else np.zeros((30, 20), 'u1')).save(
                file, 'PNG'
            )
        content = file.getvalue()
        (masks / f'{index}.{"npy" if index % 2 else "png"}').write_bytes(
            content if index % 5 == 0 else damage_bytes(content, rng)
        )
    failed = check_run(infer, tmp_path, 'depth', models, IMAGES, '--mask-dir', masks, '--save', 'picture')
    assert all('the mask ' in reason for reason in failed.values())


def test_changed_records(tmp_path):
    """A record is accepted, or refused with its folder. --overwrite makes it one of these settings."""
    plan = Plan(
        dict(pose=dict(model='a', checkpoint='b', task='pose', flip_test=None)), tmp_path, Saving(),
        detector=dict(text='whole-image', threshold=0.3), boxes='b.json', content={'weights of pose': '1', 'config of pose': '2'},
    )  # fmt: skip
    write_settings(plan, VideoOptions())
    record, accepted = read_record(tmp_path), 0
    for index, content in documents(record):
        (tmp_path / '.run.json').write_bytes(content)
        try:
            check_settings(plan, VideoOptions())
            accepted += 1
        except ValueError as error:
            assert str(tmp_path) in str(error) and '--overwrite' in str(error), (index, content)
        write_settings(plan, VideoOptions(), overwrite=True)
        check_settings(plan, VideoOptions())
    assert 0 < accepted < DOCUMENTS / 2


@pytest.mark.parametrize('layout', ['plain', 'published', 'lite'])
def test_changed_results(tmp_path, layout):
    """The people of a file are combined with others, or the file is named."""
    pose().save(tmp_path, 'a', kinds=('json',), json_layout=layout)
    path, used = tmp_path / 'a.json', 0
    for index, content in documents(json.loads(path.read_text())):
        path.write_bytes(content)
        try:
            people = read_people(path)
        except ValueError as error:
            assert str(path) in str(error), (index, content)
            continue
        images, used = [(1, 'a.jpg', people)], used + 1
        assert write_coco(tmp_path / 'all.json', images) == write_csv(
            tmp_path / 'all.csv', images, get_skeleton('coco17')
        )
        json.loads((tmp_path / 'all.json').read_text())
    assert 0 < used < DOCUMENTS
