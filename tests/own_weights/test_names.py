"""Names of own weights wherever a model, a config or a checkpoint is taken."""

import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch

from sapiens import weights
from sapiens.apis import load_model
from sapiens.apis.batch_job import Plan
from sapiens.apis.demo import ALL, Demo, models_on_this_machine
from sapiens.apis.detectors import automatic, build_detector
from sapiens.apis.detectors.automatic import choose_detector  # before the patch of conftest.py
from sapiens.apis.detectors.refine import RefinedByParts
from sapiens.apis.inputs import read_pixels
from sapiens.apis.loading.download import download
from sapiens.apis.loading.load_model import load_models
from sapiens.apis.own_models import automatic_for, has_detector, own_models
from sapiens.apis.results import Saving
from sapiens.apis.run_record import content_of
from sapiens.apis.web.layout import people_choices
from sapiens.apis.writers.files import write_file
from sapiens.checkpoints import ZOO, find, read_weights, resolve_checkpoint, resolve_config
from sapiens.commands import download as command
from sapiens.commands import infer, quickstart
from sapiens.own_weights.probe import differences, probe

from .made import OWN

POSE, SEG, PERSON = 'sapiens-tiny-pose17', 'sapiens-tiny-seg28', 'sapiens-tiny-person'
PICTURES = Path(str(files('sapiens.apis.web'))) / 'examples'


def test_a_name_brings_config_and_weights_without_a_network(shipped, monkeypatch):
    monkeypatch.setenv('SAPIENS_CHECKPOINT_ROOT', '/nowhere')
    model = load_model(POSE, device='cpu')
    result = model(PICTURES / '000000.jpg', boxes=np.array([[0, 0, 100, 100]], np.float32))
    assert result.keypoints.shape == (1, 17, 2) and model.task == 'pose'
    assert max(differences(probe(model), weights.read_card(POSE)['predictions']).values()) <= 1
    assert resolve_checkpoint(POSE) == shipped / f'{POSE}.safetensors' == resolve_checkpoint(f'{POSE}.safetensors')
    assert resolve_config(POSE).name == 'sapiens_tiny_free17-128x96.py'
    assert find(POSE).licence == 'apache-2.0' and 'part of this package' in find(POSE).about_licence()
    assert find(POSE).shapes() == {name: tuple(value.shape) for name, value in read_weights(POSE).state_dict.items()}


@pytest.mark.parametrize('name', OWN)
def test_missing_weights_end_in_one_clear_line(empty, name, tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        load_model(name, device='cpu')
    text = str(error.value)
    assert '\n' not in text and text.startswith(f'{name} is not on this machine: this version of the package comes')
    assert str(tmp_path / 'none' / f'{name}.safetensors') in text and f'tools/own_weights.py {name}' in text
    with pytest.raises(ValueError, match='not on the hub'):
        download(ZOO[name], say=str)


def test_other_forms_and_names_are_refused(shipped):
    with pytest.raises(ValueError, match="original weights only, not as 'torchscript'"):
        resolve_checkpoint(POSE, 'torchscript')
    with pytest.raises(ValueError, match=f"did you mean '{POSE}'"):
        resolve_checkpoint('sapiens-tiny-pose18')
    with pytest.raises(FileNotFoundError, match=f'the file is in the package, where its name finds it: {POSE}$'):
        resolve_checkpoint(f'downloads/{POSE}.safetensors')


def test_lists_of_models_show_them(shipped, tmp_path):
    rows = {line.split()[0]: line for line in command.table(tmp_path).splitlines() if line}
    assert 'in the package' in rows[POSE] and rows[POSE].split('in the package')[1].split()[0] == 'original'
    assert rows['sapiens-tiny-depth'].split('in the package')[1].split()[0] == '-'
    assert {name for name, _ in models_on_this_machine()} == {POSE, SEG, PERSON}
    assert people_choices(['embedded']) == [(f'Find people ({PERSON})', 'embedded'), ('Boxes by hand', 'by-hand')]
    said = []
    assert download(ZOO[POSE], say=said.append) == shipped / f'{POSE}.safetensors' and 'part of the package' in said[0]


def test_embedded_detector_is_the_own_one(shipped, monkeypatch):
    loaded = []
    monkeypatch.setattr('sapiens.apis.detectors.own.load_own', lambda *given: loaded.append(given) or list)
    detector = build_detector('embedded', 'cpu')
    assert loaded == [(PERSON, 'cpu')]
    # Parts refine its boxes. Those that cannot reach the threshold of the detector are not looked at.
    assert isinstance(detector.find, RefinedByParts) and detector.find.least == pytest.approx(detector.threshold**2)
    assert build_detector('embedded', 'cpu', threshold=0.2).find.least == pytest.approx(0.04)
    monkeypatch.setattr(automatic, '_fetch', lambda say: 'no network')
    monkeypatch.setattr(automatic, '_published', lambda: None)
    said = []
    assert choose_detector(said.append) == 'embedded' and said[0].startswith(f'people are found by {PERSON}: ')
    monkeypatch.setattr(automatic, 'choose_detector', lambda: 'embedded')
    found = build_detector('auto', 'cpu', threshold=0.2).find
    found([])
    assert found._find.least == pytest.approx(0.04)
    (shipped / f'{SEG}.safetensors').unlink()
    assert not has_detector()


def test_results_of_other_weights_of_the_embedded_detector_are_told(shipped, tmp_path):
    def content(**options):
        return content_of(Plan({}, tmp_path, Saving(), detector=dict(text='embedded'), **options))

    before = content()
    assert set(before) == {f'weights of {PERSON}', f'weights of {SEG}'}
    (shipped / f'{SEG}.safetensors').write_bytes((shipped / f'{SEG}.safetensors').read_bytes() + b' ')
    assert {name for name, text in content().items() if before[name] != text} == {f'weights of {SEG}'}
    assert content_of(Plan({}, tmp_path, Saving(), detector=dict(text='whole-image'))) == {}


def test_models_that_run_together_load_no_detectors(shipped, monkeypatch):
    """The run has one for all of them."""
    asked = []
    monkeypatch.setattr('sapiens.apis.loading.load_model.build_detector', lambda text, _: asked.append(text))
    loaded = load_models({task: dict(model=name, task=task) for task, name in (('pose', POSE), ('seg', SEG))}, 'cpu')
    assert list(loaded) == ['pose', 'seg'] and asked == ['whole-image']


def test_they_find_people_without_a_network(shipped, monkeypatch):
    asked = []
    monkeypatch.setattr('sapiens.apis.loading.load_model.build_detector', lambda text, _: asked.append(text))
    load_model(POSE, device='cpu')
    load_model(POSE, device='cpu', detector='whole-image')
    load_model('pose/sapiens_tiny_free17-128x96.py', shipped / f'{POSE}.safetensors', device='cpu')
    assert asked == ['embedded', 'whole-image', 'auto']
    built = []
    monkeypatch.setattr('sapiens.apis.demo.build_detector', lambda text, _: built.append(text) or text)
    page = Demo([(POSE, None), (SEG, None), ('pose/sapiens_tiny_coco-128x96.py', None)], device='cpu')
    models = [page.labels('pose')[0], page.labels(ALL)[0], page.labels('pose')[1]]
    tasks = ['pose', ALL, 'pose']
    assert [page.load(task, label, 'auto')[1] for task, label in zip(tasks, models, strict=True)] == [
        'embedded', 'embedded', 'auto',
    ] and built == ['embedded', 'auto']  # fmt: skip
    assert automatic_for([POSE, SEG]) == 'embedded' and automatic_for([POSE, 'sapiens-seg-1b']) == 'auto'
    (shipped / f'{PERSON}.safetensors').unlink()
    assert automatic_for([POSE, SEG]) == 'auto'


def test_infer_takes_them_without_a_model(shipped, tmp_path, capsys):
    picture = str(PICTURES / '000000.jpg')
    assert infer.main(['seg', picture, '--out', str(tmp_path / 'seg'), '--device', 'cpu']) == 0
    assert f'no --model: {SEG} of this package\n' in capsys.readouterr().out
    assert (tmp_path / 'seg/000000_seg.npy').is_file()
    assert infer.main(['pose', picture, '--out', str(tmp_path / 'pose'), '--device', 'cpu']) == 0
    said = capsys.readouterr().out
    assert (
        f'no --model: {POSE} of this package\n' in said and f'people are found by {PERSON} of this package\n' in said
    )
    assert own_models('all') == [POSE, SEG] and own_models('person') == [PERSON]


def test_infer_without_a_model_and_without_weights(empty, tmp_path):
    with pytest.raises(ValueError, match="no --model: this version of the package has no weights for 'pose'"):
        infer.main(['pose', str(PICTURES), '--out', str(tmp_path / 'out')])
    with pytest.raises(ValueError, match='give the config of the weights with --model'):
        infer.main(['pose', str(PICTURES), '--out', str(tmp_path / 'out'), '--checkpoint', 'x.pth'])


def test_the_quickstart_ends_with_people(shipped, monkeypatch, tmp_path):
    """One picture of the image, keypoints and parts: of the user's images, else of the package's."""
    statuses = []

    def run(*arguments):  # in this process
        assert arguments[arguments.index('--detector') + 1] == 'embedded'
        statuses.append(infer.main(list(map(str, arguments[1:]))))
        sys.exit(statuses[-1])

    monkeypatch.setattr(quickstart, 'run_command', run)
    line = quickstart.draw_people(None, tmp_path / 'drawn')
    assert f'keypoints    {tmp_path / "drawn/people.jpg"}   [' in line and POSE in line and '\n' not in line.strip()
    height, width = read_pixels(tmp_path / 'drawn/people.jpg').shape[:2]
    assert width > 2 * quickstart.WIDTH and height > 200, 'six pictures in two columns'
    drawn = [path.name for path in quickstart.some_images(None)]
    assert drawn[-2:] == list(quickstart.PHOTOGRAPHS) and len(drawn) == 6, 'rendered people and photographs'

    photographs = tmp_path / 'photographs'
    for number in range(20):
        write_file(photographs / f'{number:02}.jpg', np.full((64, 48, 3), 9 * number, np.uint8))
    assert [path.stem for path in quickstart.some_images(photographs)] == ['00', '03', '06', '10', '13', '16']
    (photographs / '03.jpg').write_bytes(b'nothing')
    assert quickstart.draw_people(photographs, tmp_path / 'drawn') and statuses == [0, 1], 'the others are drawn'
    assert {path.stem for path in (tmp_path / 'drawn/figure').iterdir()} == {'00', '06', '10', '13', '16'}
    (tmp_path / 'shards').mkdir()
    assert quickstart.some_images(tmp_path / 'shards') == quickstart.some_images(None) != []
    (shipped / f'{SEG}.safetensors').unlink()
    assert quickstart.draw_people(None, tmp_path) == '' and len(statuses) == 2


def test_a_training_starts_from_them(shipped):
    from sapiens.checkpoints import load_weights
    from sapiens.registry import MODELS
    from sapiens.utils.config import load_config

    model = MODELS.build(load_config('pose/sapiens_tiny_synthetic17-128x96.py').model)
    report = load_weights(model, POSE)
    assert report.share == 1 and not report.missing and not report.reinitialized
    half = read_weights(POSE).state_dict['head.final_layer.weight']
    assert torch.equal(model.state_dict()['head.final_layer.weight'], half.float())


def test_the_folder_of_the_package_is_found_from_anywhere(tmp_path):
    code = 'from sapiens.weights import weights_folder; print(weights_folder())'
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, '-c', code],
        cwd=tmp_path,
        env=dict(os.environ, PYTHONPATH=root),
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == str(Path(root) / 'sapiens' / 'weights'), done.stderr
