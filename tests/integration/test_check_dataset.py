"""sapiens check, in this process."""

from pathlib import Path

import pytest

from ..datasets.helpers import encode, smooth_image
from ..datasets.people import person, write_people
from . import status_of

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs/pose/sapiens_tiny_synthetic17-128x96.py'


@pytest.fixture
def root(tmp_path):
    """Three people for training and two held out, in the folders of the config."""
    for split, number in (('train', 3), ('val', 2)):
        folder = tmp_path / 'synthetic' / split
        (folder / 'annotations').mkdir(parents=True)
        annotations = [person(i, image=i + 1) for i in range(number)]
        write_people(folder, annotations, name='annotations/person_keypoints.json', pictures=False)
        for i in range(1, 4):
            (folder / f'{i}.jpg').write_bytes(encode(smooth_image(120, 90, seed=i + 10 * number)))
    return tmp_path


@pytest.fixture
def check(root, monkeypatch, capsys):
    """Runs the command with some options: exit status and what it printed."""
    monkeypatch.setenv('DATA_ROOT', str(root))

    def run(*options):
        status, shown = status_of('check', CONFIG, *options), capsys.readouterr()
        return status, shown.err if status == 2 else shown.out

    return run


def test_good_data(check):
    status, text = check('--images', '--samples', 5)
    assert status == 0, text
    assert 'KeypointDataset(3 people' in text and 'nothing was found' in text
    assert '3 samples went through the pipeline' in text and 'labeled keypoints on average' in text
    status, text = check('--split', 'val', '--samples', 1)
    assert status == 0 and '1 samples' in text and '2 people' in text


def test_bad_data_fail_with_their_first_offenders(check, root):
    train, held_out = (root / 'synthetic' / split for split in ('train', 'val'))
    (train / '1.jpg').unlink()
    (train / '2.jpg').write_bytes((held_out / '2.jpg').read_bytes())
    status, text = check()
    assert status == 1
    assert 'WRONG         1  missing image' in text and 'train/1.jpg' in text
    assert 'WRONG         1  image that the training and the held-out data share' in text
    assert 'WRONG         1  unreadable image' in text  # found by running the samples
    (train / 'annotations/person_keypoints.json').unlink()
    status, text = check()
    assert status == 2 and text.startswith('error: no annotation file') and 'data/README.md' in text
    assert text.count('\n') == 1


def test_without_held_out_data(check, root):
    (root / 'synthetic/val/annotations/person_keypoints.json').unlink()
    status, text = check()
    assert status == 0 and 'Shared images are not looked for. val: no annotation file' in text


def test_a_file_that_the_metric_refuses(check):
    status, text = check('--split', 'val', '--cfg-options', 'val_evaluator.0.ann_file=elsewhere.json')
    assert status == 2 and 'error: no annotation file' in text and 'elsewhere.json' in text


def test_browse_takes_the_same_options(check, root, tmp_path):
    options = ('--split', 'val', '--samples', 2, '--seed', 3)
    assert check(*options)[0] == 0
    assert status_of('browse', CONFIG, *options, '--out', tmp_path / 'a.png') is None
    # The former names.
    assert check('--phase', 'val', '--num-samples', 2)[0] == 0
