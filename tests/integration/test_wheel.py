"""A built wheel in a fresh environment outside the repository.

The daily test borrows the dependencies of the tested environment. The slow test installs them from the package index, on each
Python from 3.10 to 3.13 that is on the PATH.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from ..apis.tiny import write_pictures
from ..datasets.people import person, write_people

ROOT = Path(__file__).parents[2]
CONFIG = 'sapiens_tiny_synthetic17-128x96'
WEIGHTS = ('sapiens-tiny-test.safetensors', 'sapiens-tiny-test.json')


def runs(python):
    """Whether a Python is there; pyenv has commands for versions that are not."""
    return shutil.which(python) and subprocess.run([python, '--version'], capture_output=True).returncode == 0


PYTHONS = list(filter(runs, ('python3.10', 'python3.11', 'python3.12', 'python3.13')))


def call(*command, cwd, check=True, **environment):
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', **environment}
    environment.pop('PYTHONPATH', None)
    result = subprocess.run([*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True)
    assert result.returncode == 0 or not check, result.stdout[-2000:] + result.stderr[-3000:]
    return result


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    source, out = tmp_path_factory.mktemp('source'), tmp_path_factory.mktemp('wheel')
    for name in ('setup.py', 'pyproject.toml', 'MANIFEST.in', 'README.md'):
        shutil.copy(ROOT / name, source)
    for name in ('sapiens', 'configs', 'requirements'):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns('__pycache__'))
    for name in WEIGHTS:  # this version may have none of its own
        (source / 'sapiens' / 'weights' / name).touch()
    options = ('--no-deps', '--no-build-isolation', '--quiet', '--disable-pip-version-check')
    call(sys.executable, '-m', 'pip', 'wheel', *options, source, '-w', out, cwd=out)
    (path,) = out.glob('sapiens-*.whl')
    return path


def make_environment(python, folder, wheel, *options, with_pip=False):
    """A fresh virtual environment with the wheel; returns its folder of programs."""
    call(python, '-m', 'venv', *([] if with_pip else ['--without-pip']), folder, cwd=folder.parent)
    pip = (
        sys.executable,
        '-m',
        'pip',
        '--python',
        folder / 'bin' / 'python',
        '--disable-pip-version-check',
        '--quiet',
    )
    call(*pip, 'install', *options, wheel, cwd=folder.parent)
    return folder / 'bin'


@pytest.fixture(scope='module')
def people(tmp_path_factory):
    """Data root of two images with 4 people, as the tiny pose config expects them."""
    root = tmp_path_factory.mktemp('people')
    folder = root / 'synthetic' / 'train'
    folder.mkdir(parents=True)
    write_people(folder, [person(i, image=1 + i // 2) for i in range(4)], images=2, name='people.json')
    data = json.loads((folder / 'people.json').read_text())
    for image in data['images']:
        image['file_name'] = f'img/{image["file_name"]}'
    (folder / 'annotations').mkdir()
    (folder / 'annotations' / 'person_keypoints.json').write_text(json.dumps(data))
    (root / 'synthetic' / 'val').symlink_to(folder)
    return root


def use(programs, folder, people):
    """Config, training and inference by config name, in an empty folder."""
    folder.mkdir()
    shown = call(programs / 'sapiens', 'config', 'sapiens_1b_coco-1024x768', '--only', 'model.type', cwd=folder)
    assert shown.stdout.startswith("model.type = 'PoseEstimator'")
    code = """
import sapiens
from sapiens.apis.loading.build import read_config
from sapiens.checkpoints import resolve_config
print(sapiens.__file__, read_config('sapiens_1b_coco-1024x768').filename, resolve_config('sapiens-seg-1b'), sep='\\n')
"""
    places = call(programs / 'python', '-W', 'ignore', '-c', code, cwd=folder).stdout.splitlines()
    assert all(place.startswith(str(programs.parent)) for place in places), places
    options = ['train_cfg.max_iters=2', 'train_cfg.val_interval=9', 'train_dataloader.batch_size=2',
               'train_dataloader.num_workers=0', 'val_dataloader.num_workers=0']  # fmt: skip
    call(programs / 'sapiens', 'train', CONFIG, '--cfg-options', *options, cwd=folder, DATA_ROOT=str(people))
    checkpoint = folder / 'work_dirs' / CONFIG / 'iter_2.pth'
    (image,) = write_pictures(folder / 'images', [(64, 48)])
    model = ('--model', CONFIG, '--checkpoint', checkpoint, '--device', 'cpu')
    call(programs / 'sapiens', 'infer', 'pose', image, *model, '--detector', 'whole-image', '--out', 'out', cwd=folder)
    assert len(json.loads((folder / 'out' / f'{image.stem}.json').read_text())['instance_info']) == 1
    refused = call(programs / 'sapiens', 'train', 'sapiens_1b_cocoo-1024x768', cwd=folder, check=False)
    assert refused.returncode == 2 and refused.stderr.startswith(
        'error: no config file sapiens_1b_cocoo-1024x768; there is'
    )
    assert refused.stderr.count('\n') == 1


def test_the_wheel_holds_the_configs_and_nothing_else_of_the_repository(wheel):
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    configs = {f'sapiens/{path.relative_to(ROOT).as_posix()}' for path in (ROOT / 'configs').rglob('*.py')}
    assert configs <= names
    own = {path.name for path in (ROOT / 'sapiens' / 'weights').iterdir() if path.suffix in ('.safetensors', '.json')}
    assert {f'sapiens/weights/{name}' for name in (*own, *WEIGHTS)} <= names
    assert {name.split('/')[0] for name in names if '.dist-info/' not in name} == {'sapiens'}


def test_a_wheel_works_outside_the_repository(wheel, people, tmp_path):
    programs = make_environment(sys.executable, tmp_path / 'env', wheel, '--no-deps', '--no-index')
    (site,) = programs.parent.glob('lib/python*/site-packages')
    (site / 'dependencies.pth').write_text(sysconfig.get_paths()['purelib'])
    use(programs, tmp_path / 'elsewhere', people)


@pytest.mark.parametrize('python', PYTHONS)
def test_without_its_dependencies_the_import_prints_one_command(wheel, python, tmp_path):
    programs = make_environment(python, tmp_path / 'env', wheel, '--no-deps', '--no-index')
    said = call(programs / 'python', '-c', 'import sapiens', cwd=tmp_path, check=False).stderr.splitlines()[-1]
    assert (
        said.startswith('ImportError: sapiens cannot run here: torch is not installed')
        and said.count('pip install') == 1
    )
    # With them, the command installs the pinned packages.
    (site,) = programs.parent.glob('lib/python*/site-packages')
    for name, version in (('torch', '2.6'), ('numpy', '2.0')):
        (site / f'{name}-{version}.dist-info').mkdir()
        (site / f'{name}-{version}.dist-info' / 'METADATA').write_text(f'Name: {name}\nVersion: {version}\n')
    said = call(programs / 'python', '-c', 'import sapiens', cwd=tmp_path, check=False).stderr.splitlines()[-1]
    lines = (ROOT / 'requirements' / 'mminstall.txt').read_text().splitlines()
    pins = ' '.join(line for line in lines if line and not line.startswith('#'))
    assert said.endswith(f'Fix: pip install --no-deps {pins}') and said.count('pip install') == 1


@pytest.mark.slow
@pytest.mark.parametrize('python', PYTHONS)
def test_a_wheel_installs_from_the_package_index(wheel, python, people, tmp_path):
    programs = make_environment(python, tmp_path / 'env', wheel, with_pip=True)
    said = call(programs / 'python', '-c', 'import sapiens', cwd=tmp_path, check=False).stderr
    command = said.splitlines()[-1].partition('Fix: pip ')[2]
    call(programs / 'python', '-m', 'pip', *command.split(), cwd=tmp_path)
    use(programs, tmp_path / 'elsewhere', people)
    builds = call(programs / 'python', '-m', 'pip', 'list', cwd=tmp_path).stdout.count('opencv')
    assert builds == 1, 'two builds of OpenCV'
