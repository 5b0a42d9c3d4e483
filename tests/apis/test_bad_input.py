"""Bad input to models of the second family, in every task: a clear error, or a counted and named skip."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from sapiens.apis import build_model, load_model
from sapiens.apis.detectors.boxes_file import BoxesFile
from sapiens.apis.inputs import Item
from sapiens.apis.loading.build import read_config
from sapiens.checkpoints import load_weights, save_huggingface
from sapiens.datasets import GeometryDataset, KeypointDataset, SegmentationDataset
from sapiens.datasets.transforms.decoding import BadImage
from sapiens.datasets.transforms.label_files import read_ids
from sapiens.models import MAE
from sapiens.utils.checkpoint import read_checkpoint, save_weights

from ..integration import status_of

CONFIGS = dict(
    pose='pose/sapiens2_tiny_synthetic308-128x96',
    seg='seg/sapiens2_tiny_synthetic-128x96',
    normal='normal/sapiens2_tiny_synthetic-128x96',
)
SMALL = dict(embed_dims=48, num_layers=2, num_heads=2, feedforward_channels=96)
OPTIONS = {'model.backbone': dict(type='Sapiens2ViT', arch=SMALL, img_size=(128, 96))}
TASKS = list(CONFIGS)
MAP = dict(pose='keypoints', seg='labels', normal='normals')


@pytest.fixture(scope='module', params=TASKS)
def task(request):
    return request.param


@pytest.fixture(scope='module')
def models():
    return {task: load_model(config, device='cpu', cfg_options=OPTIONS) for task, config in CONFIGS.items()}


def noise(*shape, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


# ---------------------------------------------------------------------- sizes


@pytest.mark.parametrize(
    ('size', 'tokenizer', 'nearest'),
    [((130, 96), False, r'\(128, 96\) and \(144, 112\)'), ((10, 96), False, r'\(16, 96\) and \(16, 112\)'),
     ((4096, 3000), True, r'\(4096, 2944\) and \(4160, 3008\)')],
)  # fmt: skip
def test_a_size_that_patches_or_windows_do_not_tile(task, size, tokenizer, nearest):
    arch = dict(SMALL, num_tokenizer_layers=1)
    options = {'model.backbone': dict(type='Sapiens2ViT', arch=arch, img_size=size, tokenizer=tokenizer)}
    with pytest.raises(ValueError, match=rf'size \(h={size[0]}, w={size[1]}\) is not a multiple .* {nearest}'):
        build_model(CONFIGS[task], device='cpu', cfg_options=options)


def test_an_image_that_patches_do_not_tile(models, task):
    network = models[task].network
    with pytest.raises(ValueError, match=r'the nearest sizes are \(h, w\) = \(128, 96\) and \(144, 112\)'):
        network(torch.zeros(1, 3, 130, 97))


@pytest.mark.parametrize('crop', [(100, 96), (128, 90)])
@pytest.mark.parametrize('dense', ['seg', 'normal'])
def test_windows_that_patches_do_not_tile(dense, crop):
    with pytest.raises(ValueError, match=r'test_cfg.crop_size=.*nearest sizes'):
        build_model(CONFIGS[dense], device='cpu', cfg_options={**OPTIONS, 'model.test_cfg.crop_size': crop})


# ---------------------------------------------------------------------- images

FILES = {
    'one.png': ((1, 1), lambda: Image.fromarray(noise(1, 1, 3))),
    'line.png': ((1, 300), lambda: Image.fromarray(noise(1, 300, 3))),
    'wide.png': ((20, 400), lambda: Image.fromarray(noise(20, 400, 3))),
    'tall.png': ((400, 20), lambda: Image.fromarray(noise(400, 20, 3))),
    'deep.png': ((40, 30), lambda: Image.fromarray(noise(40, 30, dtype=np.uint16))),
    'gray.png': ((40, 30), lambda: Image.fromarray(noise(40, 30))),
    'gray_alpha.png': ((40, 30), lambda: Image.fromarray(noise(40, 30, 2), 'LA')),
    'rgba.png': ((40, 30), lambda: Image.fromarray(noise(40, 30, 4))),
    'turned.jpg': ((30, 40), lambda: Image.fromarray(noise(40, 30, 3))),
}


def write_files(folder):
    folder.mkdir(exist_ok=True)
    for name, (_, make) in FILES.items():
        image = make()
        exif = image.getexif()
        if name == 'turned.jpg':
            exif[0x0112] = 6
        image.save(folder / name, exif=exif)


@pytest.mark.filterwarnings('ignore:.*mode.*:DeprecationWarning')
@pytest.mark.parametrize('processing', ['published', 'huggingface'])
def test_unusual_images_give_results_of_their_size(models, task, processing, tmp_path):
    write_files(tmp_path)
    model = models[task]
    if processing == 'huggingface':
        model = load_model(CONFIGS[task], device='cpu', cfg_options=OPTIONS, processing=processing)
    found = dict(model.stream([tmp_path / name for name in FILES]))
    for name, (size, _) in FILES.items():
        result = found[tmp_path / name]
        values = getattr(result, MAP[task])
        assert result.image.shape == (*size, 3) and np.isfinite(values).all(), name
        assert values.shape == (1, 308, 2) if task == 'pose' else values.shape[:2] == size, name
        if task == 'normal' and processing == 'published':  # transformers does not normalize after it resizes
            np.testing.assert_allclose(np.linalg.norm(values, axis=-1), 1, atol=1e-5)


@pytest.fixture(scope='module')
def labelled(tmp_path_factory):
    """The same files with labels of every task."""
    root = tmp_path_factory.mktemp('labelled')
    write_files(root / 'rgb')
    people = dict(images=[], annotations=[], categories=[dict(id=1, name='person')])
    for folder in ('labels', 'normal', 'mask'):
        (root / folder).mkdir()
    for number, (name, ((h, w), _)) in enumerate(FILES.items(), 1):
        stem = name.partition('.')[0]
        Image.fromarray(np.full((h, w), 3, np.uint8)).save(root / f'labels/{stem}.png')
        Image.fromarray(np.full((h, w), 255, np.uint8)).save(root / f'mask/{stem}.png')
        np.save(root / f'normal/{stem}.npy', np.tile(np.float32([0, 0, 1]), (h, w, 1)))
        people['images'].append(dict(id=number, file_name=name, width=w, height=h))
        points = np.random.default_rng(number).random((308, 2)) * (w, h)
        points = np.concatenate([points, np.full((308, 1), 2)], axis=1).flatten().tolist()
        people['annotations'].append(
            dict(id=number, image_id=number, category_id=1, bbox=[0, 0, w, h], area=w * h, iscrowd=0,
                 num_keypoints=308, keypoints=points)
        )  # fmt: skip
    (root / 'people.json').write_text(json.dumps(people))
    return root


PUBLISHED = dict(
    pose='pose/sapiens2_0.4b_goliath-1024x768',
    seg='seg/sapiens2_0.4b_goliath-1024x768',
    normal='normal/sapiens2_0.4b_renderpeople-1024x768',
)


@pytest.mark.parametrize('pipeline', ['train_pipeline', 'val_pipeline'])
@pytest.mark.parametrize('config', [CONFIGS, PUBLISHED], ids=['tiny', 'published'])
def test_unusual_images_in_the_recipes(labelled, task, config, pipeline):
    """Every step of the augmentation, twice; backgrounds need images of their own."""
    cfg = read_config(config[task])
    steps = [step for step in cfg[pipeline] if step['type'] != 'RandomBackground']
    options = dict(pipeline=steps, test_mode=pipeline == 'val_pipeline', data_root=str(labelled))
    if task == 'pose':
        dataset = KeypointDataset('people.json', 'goliath308', img_prefix='rgb', **options)
    elif task == 'seg':
        dataset = SegmentationDataset('goliath29', images='rgb', **options)
    else:
        dataset = GeometryDataset(fields=['normal'], **options)
    assert len(dataset) >= len(FILES) - (2 if task == 'pose' else 0), 'a person of one pixel has no size'
    size = cfg.model.backbone.img_size
    for index in range(len(dataset)):
        for seed in range(2):
            np.random.seed(seed)
            torch.manual_seed(seed)
            packed = dataset.pipeline(dataset.load(index))
            assert packed['inputs'].shape == (3, *size) and packed['inputs'].dtype == torch.uint8
            if task == 'normal':
                assert packed['data_samples'].gt_normal.isfinite().all()


def test_unusable_files_are_named_and_the_others_go_on(models, task, tmp_path):
    pixels = np.random.default_rng(0).random((40, 30)).astype(np.float32)
    pixels[3] = np.nan
    Image.fromarray(pixels).save(tmp_path / 'nan.tif')
    Image.fromarray(noise(40, 30, 3)).save(tmp_path / 'good.png')
    (tmp_path / 'cut.png').write_bytes((tmp_path / 'good.png').read_bytes()[:300])
    names = ['nan.tif', 'cut.png', 'good.png']
    found = dict(models[task].stream([tmp_path / name for name in names]))
    for name, reason in (('nan.tif', 'no defined white'), ('cut.png', '')):
        assert isinstance(found[tmp_path / name], BadImage)
        assert str(tmp_path / name) in str(found[tmp_path / name]) and reason in str(found[tmp_path / name])
    assert getattr(found[tmp_path / 'good.png'], MAP[task]) is not None


@pytest.mark.parametrize(
    'pixels',
    [np.full((40, 30, 3), np.nan, np.float32), noise(40, 30), noise(40, 30, 4), noise(40, 30, 3, dtype=np.uint16),
     noise(0, 30, 3)],
    ids=['nan', 'gray', 'rgba', 'deep', 'empty'],
)  # fmt: skip
def test_arrays_of_another_form(models, task, pixels):
    with pytest.raises(ValueError, match=r'an image is \(H, W, 3\) uint8 RGB, found \('):
        models[task](pixels)


def test_labels_with_nan_do_not_count():
    """Of a map of normals; infinite and zero ones too."""
    model = build_model(CONFIGS['normal'], device='cpu', cfg_options=OPTIONS)
    target = torch.rand(1, 3, 4, 3) + 0.1
    target[0, 0, 0, 0], target[0, 1, 1, 1], target[0, :, 2, 2] = torch.nan, torch.inf, 0
    target, valid = model.task.prepare(target, torch.ones(1, 4, 3, dtype=torch.bool), [], 'normal')
    assert target.isfinite().all() and int((~valid).sum()) == 3


# ---------------------------------------------------------------------- people


def test_zero_people(models):
    result = models['pose'](noise(40, 30, 3), boxes=[])
    assert result.keypoints.shape == (0, 308, 2) and result.boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ('box', 'shown', 'advice'),
    [([100, 100, 120, 140], '100, 100, 120, 140', False), ([0.1, 0.2, 0.5, 0.9], '0.1, 0.2, 0.5, 0.9', True),
     ([10, 10, 5, 5], '10, 10, 5, 5', False), ([-9, 3, -1, 8], '-9, 3, -1, 8', False), ([3, 3, 3, 3], '3, 3, 3, 3', False)],
)  # fmt: skip
def test_boxes_that_show_no_pixel_of_the_image(models, box, shown, advice):
    with pytest.raises(BadImage) as error:
        models['pose'](noise(40, 30, 3), boxes=[[5, 5, 20, 30], box])
    assert f'1 of 2 boxes show no pixel of the image of 30 x 40, such as x1, y1, x2, y2 = {shown}' in str(error.value)
    with pytest.raises(BadImage) as error:
        models['pose'](noise(40, 30, 3), boxes=[box])
    assert ('they look like fractions' in str(error.value)) == advice


def test_a_box_that_reaches_beyond_the_image_is_used(models):
    result = models['pose'](noise(40, 30, 3), boxes=[[-50, -50, 90, 90]])
    assert result.boxes.tolist() == [[-50, -50, 90, 90]] and np.isfinite(result.keypoints).all()


def write_boxes(path, boxes):
    path.write_text(json.dumps([dict(image_id=name, bbox=box, score=0.9, category_id=1) for name, box in boxes]))
    return path


def test_boxes_of_a_file_outside_the_image(tmp_path, caplog):
    image, inside, outside = noise(40, 30, 3), [5, 5, 10, 10], [100, 5, 10, 10]
    path = write_boxes(
        tmp_path / 'b.json', [('a', inside), ('a', outside), ('b', outside), ('c', [0.1, 0.1, 0.5, 0.5])]
    )
    boxes, said = BoxesFile(path), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('sapiens.apis.detectors.base.print_log', lambda text, *_: said.append(text))
        assert boxes(Item('a.png', 'a'), image)[0].tolist() == [[5, 5, 15, 15]]
    assert said == [
        f'a.png, {path}: 1 of 2 boxes show no pixel of the image of 30 x 40, such as x1, y1, x2, y2 = 100, 5, 110, 15 (left out)'
    ]
    with pytest.raises(BadImage, match=r'b\.json: 1 of 1 boxes show no pixel'):
        boxes(Item('b.png', 'b'), image)
    with pytest.raises(BadImage, match='they look like fractions, expected are pixels'):
        boxes(Item('c.png', 'c'), image)
    assert len(boxes(Item('none.png', 'none'), image)[0]) == 0


def test_a_detector_that_returns_boxes_outside(monkeypatch):
    """A function of the user, whose results nothing cleans."""
    said, found = [], [[5, 5, 20, 30], [100, 5, 110, 15], [np.nan, 0, 3, 3]]
    monkeypatch.setattr('sapiens.apis.detectors.base.print_log', lambda text, *_: said.append(text))
    detector = lambda images: [(np.float32(found), np.float32([0.9, 0.8, 0.7])[: len(found)]) for _ in images]  # noqa: E731
    model = load_model(CONFIGS['pose'], device='cpu', cfg_options=OPTIONS, detector=detector)
    result = model(noise(40, 30, 3))
    assert result.boxes.tolist() == [[5, 5, 20, 30]] and result.box_scores.tolist() == [np.float32(0.9)]
    assert said == [
        'image 0: 2 of 3 boxes show no pixel of the image of 30 x 40, such as x1, y1, x2, y2 = 100, 5, 110, 15 (left out)'
    ]
    found[:] = [[0.1, 0.1, 0.5, 0.9]]
    assert len(model(noise(40, 30, 3)).boxes) == 0 and 'they look like fractions' in said[1]


def test_a_command_whose_boxes_are_fractions_fails_and_names_the_images(tmp_path, capsys):
    (tmp_path / 'in').mkdir()
    for name in 'abc':
        Image.fromarray(noise(40, 30, 3)).save(tmp_path / f'in/{name}.png')
    path = write_boxes(
        tmp_path / 'b.json', [('a', [0.1, 0.1, 0.5, 0.5]), ('b', [5, 5, 10, 10]), ('c', [40, 5, 10, 10])]
    )
    options = ('--model', CONFIGS['pose'], '--boxes', path, '--out', tmp_path / 'out')
    assert status_of('infer', 'pose', tmp_path / 'in', *options) == 1
    printed = capsys.readouterr()
    assert 'wrote results of 1 image to' in printed.out and '2 failed' in printed.out
    lines = (tmp_path / 'out/failures.txt').read_text().splitlines()
    assert [line.split('\t')[0] for line in lines] == [str(tmp_path / 'in/a.png'), str(tmp_path / 'in/c.png')]
    assert 'fractions' in lines[0] and 'such as x1, y1, x2, y2 = 40, 5, 50, 15' in lines[1]
    assert not (tmp_path / 'out/a.json').exists() and (tmp_path / 'out/b.json').exists()


# ---------------------------------------------------------------------- labels


def test_a_label_map_of_other_classes(tmp_path):
    """34 classes in a model of 29, and the fix that the message names."""
    for folder in ('images', 'labels'):
        (tmp_path / folder).mkdir()
    labels = np.arange(34, dtype=np.uint8).repeat(2).reshape(4, 17)
    Image.fromarray(noise(4, 17, 3)).save(tmp_path / 'images/0.png')
    Image.fromarray(labels).save(tmp_path / 'labels/0.png')
    info = SegmentationDataset('goliath29', str(tmp_path)).load(0)
    path = str(tmp_path / 'labels/0.png')
    with pytest.raises(
        BadImage, match=r'labels \[29, 30, 31, 32, 33\]: expected 0 to 28, .* source_classes= of the dataset'
    ):
        read_ids(path, info['label_table'], info['num_classes'])
    mapped = SegmentationDataset('goliath29', str(tmp_path), source_classes='goliath34').load(0)
    ids = read_ids(path, mapped['label_table'], mapped['num_classes'])
    assert set(np.unique(ids)) <= {*range(29), 255} and len(np.unique(ids)) > 20


# ---------------------------------------------------------------------- weights


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    folder, made = tmp_path_factory.mktemp('files'), {}
    for name, config in CONFIGS.items():
        model = build_model(config, device='cpu', cfg_options=OPTIONS)
        save_weights(model.state_dict(), folder / f'{name}.pth')
        save_huggingface(model, folder / name)
        made[name] = folder / f'{name}.pth', folder / name
    return made


@pytest.mark.parametrize(('given', 'wanted'), [(a, b) for a in TASKS for b in TASKS if a != b])
def test_a_file_of_another_task(files, given, wanted):
    """Of one size: the encoder fits, the head does not."""
    for path in files[given]:
        with pytest.raises(
            ValueError, match=r'(?s)would stay random.*these weights are of another model.*In the file: '
        ):
            load_model(CONFIGS[wanted], path, device='cpu', cfg_options=OPTIONS)


def test_a_file_with_a_tokenizer_in_a_model_without(tmp_path):
    arch = dict(SMALL, num_tokenizer_layers=1)
    encoder = dict(type='Sapiens2ViT', arch=arch, img_size=(128, 64))
    decoder = dict(num_layers=1, embed_dims=16, num_heads=2)
    save_weights(MAE(dict(encoder, tokenizer=True), decoder).state_dict(), tmp_path / '4k.pth')
    with pytest.raises(ValueError, match='has a tokenizer of windows .4K.*set model.backbone.tokenizer=True'):
        load_weights(MAE(encoder, decoder), tmp_path / '4k.pth')
    with pytest.raises(ValueError, match='tokenizer'):
        load_model(CONFIGS['normal'], tmp_path / '4k.pth', device='cpu', task='features', cfg_options=OPTIONS)


def split(folder, parts=2):
    """Shards of a folder, as model hubs have them."""
    weights = read_checkpoint(folder / 'model.safetensors').state_dict
    (folder / 'model.safetensors').unlink()
    names = [f'model-0000{number + 1}-of-0000{parts}.safetensors' for number in range(parts)]
    places = {name: names[number % parts] for number, name in enumerate(weights)}
    (folder / 'model.safetensors.index.json').write_text(json.dumps(dict(metadata={}, weight_map=places)))
    for file in names:
        save_file({name: value.contiguous() for name, value in weights.items() if places[name] == file}, folder / file)
    return [folder / name for name in names]


def edit(name, text):
    return lambda folder: (folder / name).write_text(text)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda folder: (folder / 'model.safetensors').unlink(), r'has config\.json, but no weights \(model\.safetensors'),
        (lambda folder: (folder / 'config.json').unlink(), r'with model\.safetensors, but without config\.json'),
        (lambda folder: split(folder)[1].unlink(), r'its part model-00002-of-00002\.safetensors is missing'),
        (lambda folder: (split(folder), edit('model.safetensors.index.json', '{"weight_map": [')(folder)), 'cannot be read'),
        (edit('model.safetensors', 'half'), 'cannot be read'),
        (edit('config.json', '{"model_type": '), r'config\.json is not JSON'),
        (edit('config.json', '[]'), r'config\.json holds list, expected an object of fields'),
        (edit('config.json', '{"model_type": "sapiens2"}'), r'config\.json has no num_attention_heads, image_size, '),
    ],
    ids=['no weights', 'no config', 'no shard', 'index', 'cut', 'config', 'list', 'fields'],
)  # fmt: skip
def test_half_a_folder_of_transformers(files, task, tmp_path, change, message):
    folder = tmp_path / 'half'
    shutil.copytree(files[task][1], folder)
    change(folder)
    with pytest.raises((ValueError, FileNotFoundError), match=rf'half.*{message}'):
        load_model(folder, device='cpu')
    if (folder / 'config.json').exists():
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            build_model(folder, device='cpu')


def test_shards_of_transformers(files, task, tmp_path):
    shutil.copytree(files[task][1], tmp_path / 'whole')
    split(tmp_path / 'whole', 3)
    assert load_model(tmp_path / 'whole', device='cpu').task == task


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{"size": ', 'is not JSON'),
        ('[1]', 'holds list, expected an object of fields'),
        ('{}', 'has no size: it is damaged'),
        ('{"size": "big"}', "size='big', expected height and width in pixels"),
        ('{"size": {"height": 128}}', 'expected height and width in pixels'),
        ('{"size": {"height": 128, "width": 96}, "do_rescale": false}', 'do_rescale=False, expected True'),
        (None, 'is missing: copy or download the whole folder'),
    ],
)
def test_a_damaged_file_of_the_processing(files, task, tmp_path, text, message):
    folder = tmp_path / 'half'
    shutil.copytree(files[task][1], folder)
    path = folder / 'preprocessor_config.json'
    path.write_text(text) if text is not None else path.unlink()
    with pytest.raises((ValueError, FileNotFoundError), match=rf'preprocessor_config\.json.*{message}'):
        load_model(folder, device='cpu', processing='huggingface')
    assert load_model(folder, device='cpu').task == task, 'the published processing does not need it'
