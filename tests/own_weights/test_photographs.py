"""Photographs that are mixed with rendered people: which may be trained on, and configs with them."""

import json
import shutil

import pytest
from PIL import Image

from sapiens.checkpoints import ZOO
from sapiens.own_weights.photographs import NONE, check_photographs, with_photographs
from sapiens.own_weights.recipes import JOINT_CONFIG
from sapiens.registry import DATASETS
from sapiens.utils.config import load_config

from .made import OWN

BY, NC = 'http://creativecommons.org/licenses/by/2.0/', 'http://creativecommons.org/licenses/by-nc/2.0/'


@pytest.fixture
def folder(tmp_path):
    """Two photographs to train on and one that is held out, each with one person."""
    folder = tmp_path / 'photographs'
    (folder / 'images').mkdir(parents=True)
    write(folder, 'people_train_free.json', [1, 2])
    write(folder, 'people_val.json', [3], NC)
    return folder


def write(folder, name, numbers, license=BY):
    images, people = [], []
    for number in numbers:
        Image.new('RGB', (40, 50), (number, 0, 0)).save(folder / f'images/{number}.png')
        images.append(dict(id=number, file_name=f'{number}.png', width=40, height=50, license=4))
        points = [value for k in range(17) for value in (5 + k, 10 + k, 2)]
        people.append(
            dict(
                id=number, image_id=number, category_id=1, iscrowd=0, area=600, bbox=[4, 8, 20, 30],
                keypoints=points, num_keypoints=17,
            )
        )  # fmt: skip
    content = dict(
        licenses=[dict(id=4, url=license)], images=images, annotations=people, categories=[dict(id=1, name='person')]
    )
    (folder / name).write_text(json.dumps(content))


def test_the_card_says_what_they_are(folder):
    assert check_photographs(folder) == dict(
        photographs=2, annotations='people_train_free.json', licenses=[BY], share={'keypoints': 0.05, 'boxes': 0.3}
    )


def test_held_out_photographs_are_refused_by_id_name_and_content(folder):
    write(folder, 'people_val.json', [2])
    with pytest.raises(ValueError, match=r'2.png is also in people_val.json, by its id: scores are measured on those'):
        check_photographs(folder)
    content = json.loads((folder / 'people_val.json').read_text())
    content['images'][0]['id'] = 9
    (folder / 'people_val.json').write_text(json.dumps(content))
    with pytest.raises(ValueError, match='by its file name'):
        check_photographs(folder)
    shutil.copyfile(folder / 'images/2.png', folder / 'images/copy.png')
    content['images'][0]['file_name'] = 'copy.png'
    (folder / 'people_val.json').write_text(json.dumps(content))
    with pytest.raises(ValueError, match='2.png is also in people_val.json, by its content'):
        check_photographs(folder)


def test_licenses_and_folders(folder):
    write(folder, 'people_train_free.json', [1], NC)
    with pytest.raises(ValueError, match=f'1.png has the license {NC}, which does not allow'):
        check_photographs(folder)
    (folder / 'people_train_free.json').unlink()
    with pytest.raises(FileNotFoundError, match=r'one file people_train\*.json of people to train on \(there: none\)'):
        check_photographs(folder)


def test_the_share_of_samples(folder):
    """As many samples of an epoch as the share says, mapped to the skeleton of the rendered people."""
    rendered = dict(
        type='KeypointDataset', skeleton='wholebody133', source_skeleton='coco17', data_root=str(folder),
        ann_file='people_val.json', img_prefix='images',
    )  # fmt: skip
    config = with_photographs(dict(rendered, pipeline=[]), str(folder), share=0.25)
    dataset = DATASETS.build(dict(config, length=8))
    samples = [dataset.load(index) for index in range(8)]
    assert sum('3.png' not in sample['img_path'] for sample in samples) == 2
    for sample in samples:
        assert sample['keypoints'].shape == (1, 133, 2) and sample['keypoints_visible'].sum() == 17
    boxes = dict(type='PersonBoxDataset', data_root=str(folder), ann_file='people_val.json', img_prefix='images')
    dataset = DATASETS.build(dict(with_photographs(dict(boxes, pipeline=[]), str(folder), share=0.5), length=4))
    assert sum('3.png' not in dataset.load(index)['img_path'] for index in range(4)) == 2
    assert with_photographs(dict(boxes, pipeline=[]), NONE) == dict(boxes, pipeline=[])


@pytest.mark.parametrize(
    ('name', 'share'), [('pose/sapiens_tiny_free17-128x96', 0.05), ('person/sapiens_tiny_free-256x256', 0.3)]
)
def test_configs_take_them_from_the_environment(folder, name, share, monkeypatch):
    plain = load_config(name).train_dataloader.dataset
    monkeypatch.setenv('PHOTOGRAPHS', str(folder))
    mixed = load_config(name).train_dataloader.dataset
    assert (plain.type, mixed.type) == (mixed.datasets[0].type, 'CombinedDataset')
    assert mixed.datasets[1].ann_file == 'people_train_free.json' and mixed.weights == [1 - share, share]
    optional = {step.type: step.get('optional') for step in mixed.pipeline}
    assert optional['LoadMatte'] and optional['RandomBackground']
    assert [step.type for step in plain.pipeline] == [step.type for step in mixed.pipeline]


@pytest.mark.parametrize('config', ['pose/*sapiens_tiny_free17-128x96', 'person/*sapiens_tiny_free-256x256'])
def test_the_ablation_mixes_as_the_command_does(monkeypatch, config):
    """Its folder is $DATA_ROOT/real; all else is that of $PHOTOGRAPHS."""
    monkeypatch.setenv('DATA_ROOT', 'data')
    monkeypatch.setenv('PHOTOGRAPHS', NONE)
    own = load_config(config.replace('*', 'ablations/') + '_photographs').train_dataloader.dataset
    monkeypatch.setattr(
        'sapiens.own_weights.photographs.training_file', lambda folder: folder / 'people_train_free.json'
    )
    monkeypatch.setenv('PHOTOGRAPHS', 'data/real')
    assert load_config(config.replace('*', '')).train_dataloader.dataset.to_dict() == own.to_dict()


@pytest.mark.parametrize('config', [JOINT_CONFIG, *(ZOO[name].config for name in OWN)])
def test_no_recipe_shows_skin_in_colors_that_no_photograph_has(config):
    text = json.dumps(load_config(config).train_dataloader.to_dict())
    assert '"type": "PhotometricDistortion"' in text
    assert text.count('"permute": false') == text.count('"type": "PhotometricDistortion"')
