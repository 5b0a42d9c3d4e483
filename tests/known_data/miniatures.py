"""Miniatures of public data sets, as they are published: archives with their folders and names."""

import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from sapiens.metainfo import get_skeleton

SIZE = (48, 64)  # width, height


def image(seed=0, kind='JPEG', size=SIZE):
    """Bytes of a photograph."""
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def labels(classes, seed=0):
    """Bytes of a label map with blocks of classes."""
    ids = np.random.default_rng(seed).integers(0, classes, (SIZE[1] // 16, SIZE[0] // 16), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(np.kron(ids, np.ones((16, 16), np.uint8))).save(stream, 'PNG')
    return stream.getvalue()


def write_zip(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def write_tar(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, 'w:gz' if path.name.endswith('gz') else 'w') as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def write_tree(folder, files):
    for name, content in files.items():
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def people(names, skeleton='coco17', seed=0, start=1):
    """COCO file of one person in each of some images, with the keypoints of a skeleton."""
    skeleton = get_skeleton(skeleton)
    random, content = np.random.default_rng(seed), dict(images=[], annotations=[])
    lists = dict(keypoints=17, foot_kpts=6, face_kpts=68, lefthand_kpts=21, righthand_kpts=21)
    for number, name in enumerate(names, start):
        content['images'].append(dict(id=number, file_name=name, width=SIZE[0], height=SIZE[1]))
        points = random.uniform((5, 5), (SIZE[0] - 5, SIZE[1] - 5), (len(skeleton), 2)).round(2)
        flat = np.concatenate([points, np.full((len(points), 1), 2)], 1)
        person = dict(id=number, image_id=number, category_id=1, iscrowd=0, num_keypoints=17)
        person |= dict(bbox=[2.0, 2.0, SIZE[0] - 4.0, SIZE[1] - 4.0], area=float((SIZE[0] - 4) * (SIZE[1] - 4)) * 0.6)
        if len(skeleton) == 133:
            cuts = np.cumsum(list(lists.values()))[:-1]
            for key, part in zip(lists, np.split(flat, cuts), strict=True):
                person[key] = part.reshape(-1).tolist()
                if key != 'keypoints':
                    person[key.replace('kpts', 'valid')] = True
        else:
            person['keypoints'] = flat.reshape(-1).tolist()
        content['annotations'].append(person)
    content['categories'] = [dict(id=1, name='person')]
    return content


def detections(content):
    """COCO's list of detected boxes: those of the people of a file."""
    return [
        dict(image_id=person['image_id'], category_id=1, bbox=person['bbox'], score=0.9)
        for person in content['annotations']
    ]


def coco(folder, train=4, val=3):
    """COCO's archives, and the file of detected boxes."""
    names = dict(
        train=[f'{n:012d}.jpg' for n in range(1, 1 + train)], val=[f'{n:012d}.jpg' for n in range(1, 1 + val)]
    )
    files = {split: people(names[split]) for split in names}
    for split in names:
        archive = {f'{split}2017/{name}': image(n) for n, name in enumerate(names[split])}
        write_zip(folder / f'{split}2017.zip', archive)
    annotations = {
        f'annotations/{kind}_{split}2017.json': json.dumps(content)
        for split, content in files.items()
        for kind in ('person_keypoints', 'captions')
    }
    write_zip(folder / 'annotations_trainval2017.zip', annotations)
    boxes = folder / 'COCO_val2017_detections_AP_H_70_person.json'
    boxes.write_text(json.dumps(detections(files['val'])))
    return names


def coco_wholebody(folder, train=4, val=3):
    coco(folder, train, val)
    for split, count in (('train', train), ('val', val)):
        names = [f'{n:012d}.jpg' for n in range(1, 1 + count)]
        (folder / f'coco_wholebody_{split}_v1.0.json').write_text(json.dumps(people(names, 'wholebody133')))


def cihp(folder):
    files = {}
    for part, stems in (('Training', ('0000006', '0000008')), ('Validation', ('0001111',))):
        for n, stem in enumerate(stems):
            files[f'instance-level_human_parsing/{part}/Images/{stem}.jpg'] = image(n)
            for kind in ('Category_ids', 'Human_ids', 'Instance_ids'):
                files[f'instance-level_human_parsing/{part}/{kind}/{stem}.png'] = labels(20, n)
    write_tar(folder / 'instance-level_human_parsing.tar.gz', files)


def lip(folder):
    photographs, maps = {}, {}
    for split, stems in (('train', ('77_471474', '77_471475')), ('val', ('100034_483681',))):
        for n, stem in enumerate(stems):
            photographs[f'TrainVal_images/{split}_images/{stem}.jpg'] = image(n)
            maps[f'TrainVal_parsing_annotations/{split}_segmentations/{stem}.png'] = labels(20, n)
            maps[f'TrainVal_parsing_annotations/{split}_segmentations_reversed/{stem}.png'] = labels(20, n)
    write_zip(folder / 'TrainVal_images.zip', photographs)
    write_zip(folder / 'TrainVal_parsing_annotations.zip', maps)


def atr(folder):
    files = {f'humanparsing/JPEGImages/{stem}.jpg': image(n) for n, stem in enumerate(('997_1', '997_2'))}
    files |= {f'humanparsing/SegmentationClassAug/{stem}.png': labels(18) for stem in ('997_1', '997_2')}
    write_zip(folder / 'ICCV15_fashion_dataset(ATR).zip', files)


def pascal_person_part(folder):
    """Two photographs with a person, one of them with parts, and one of a dog."""
    head, torso, person = (np.zeros((SIZE[1], SIZE[0]), np.uint8) for _ in range(3))
    person[5:60, 5:40], head[5:20, 10:30], torso[15:50, 5:40] = 1, 1, 1
    parts = np.zeros(2, [('part_name', 'O'), ('mask', 'O')])
    parts[0], parts[1] = ('head', head), ('torso', torso)
    objects = {
        '2008_000001': ('person', parts), '2008_000002': ('person', np.zeros((0, 0))), '2008_000003': ('dog', parts),
    }  # fmt: skip
    files = {}
    for stem, (kind, found) in objects.items():
        one = np.zeros(1, [('class', 'O'), ('class_ind', 'O'), ('mask', 'O'), ('parts', 'O')])
        one[0] = (kind, 15, person, found)
        stream = io.BytesIO()
        savemat(stream, dict(anno=dict(imname=stem, objects=one)))
        files[f'Annotations_Part/{stem}.mat'] = stream.getvalue()
    write_tar(folder / 'trainval.tar.gz', files)
    photographs = {f'VOCdevkit/VOC2010/JPEGImages/{stem}.jpg': image() for stem in [*objects, '2008_000004']}
    write_tar(folder / 'VOCtrainval_03-May-2010.tar', photographs)


def face_synthetics(folder, count=100):
    files = {}
    for n in range(count):
        files[f'{n:06d}.png'] = image(n % 3, 'PNG')
        files[f'{n:06d}_seg.png'] = labels(19)
        files[f'{n:06d}_ldmks.txt'] = b'1.0 2.0\n' * 70
    write_zip(folder / 'dataset_100.zip', files)


def geometry(folder, images='rgb', count=2, masks='mask', suffix='png', start=1, **other):
    """Images with masks, depth and normals, in a folder of rendered scans or of a sequence of Hi4D."""
    mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    mask[10:50, 10:40] = 255
    for n in range(start, start + count):
        stream = io.BytesIO()
        Image.fromarray(mask).save(stream, 'PNG')
        depth = np.where(mask > 0, 2 + np.random.default_rng(n).random(mask.shape), 0).astype(np.float32)
        normal = np.random.default_rng(n).normal(size=(*mask.shape, 3)) * (mask > 0)[..., None]
        normal[..., 2] = abs(normal[..., 2]) + 1e-3
        normal = (normal / np.linalg.norm(normal, axis=-1, keepdims=True)).astype(np.float32)
        kinds = dict(depth=depth, normal=normal)
        files = {
            f'{images}/{n:06d}.{suffix}': image(n, 'JPEG' if suffix == 'jpg' else 'PNG'),
            f'{masks}/{n:06d}.png': stream.getvalue(),
        }
        write_tree(folder, files)
        for kind, values in kinds.items():
            path = Path(folder, other.get(kind, kind), f'{n:06d}.npy')
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, values)


def hi4d(folder, count=2):
    """The released sequences of one pair, without the maps that are rendered."""
    with_maps = folder / 'unpacked'
    geometry(with_maps, 'images/4', count, 'seg/img_seg_mask/4/all', 'jpg', depth='depth/4', normal='normal/4')
    files = {}
    for path in sorted(with_maps.rglob('*')):
        if path.is_file() and path.parts[-3] not in ('depth', 'normal'):
            files[f'pair28/dance28/{path.relative_to(with_maps).as_posix()}'] = path.read_bytes()
    files['pair28/dance28/images/16/000001.jpg'] = image()
    files['pair00/talk00/images/4/000001.jpg'] = image()
    write_tar(folder / 'pair28_1.tar.gz', files)


def hi4d_rendered(folder, count=2, pairs=(28, 32, 37)):
    """Sequences with rendered maps, below the folder of the data set."""
    for pair in pairs:
        where = folder / f'pair{pair}' / f'dance{pair}'
        geometry(where, 'images/4', count, 'seg/img_seg_mask/4/all', 'jpg', depth='depth/4', normal='normal/4')


def thuman2(folder):
    """Scans and their fits, in an archive each."""
    names = ('0000', '0001')
    scans = {f'THuman2.0_Release/{name}/{file}': name.encode() for name in names for file in (
        f'{name}.obj', 'material0.mtl', 'material0.jpeg')}  # fmt: skip
    write_zip(folder / 'THuman2.0_Release.zip', scans)
    fits = {f'smplx/{name}/{file}': b'' for name in names for file in ('smplx_param.pkl', 'mesh_smplx.obj')}
    write_zip(folder / 'THuman2.0_smplx.zip', fits)


def render_people(folder):
    """Two scans, one of them without a folder in its archive."""
    for name, top in (('rp_ann_posed_001', 'rp_ann_posed_001_OBJ/'), ('rp_bob_posed_002', '')):
        files = (
            f'{name}_30k.obj',
            f'{name}_100k.obj',
            f'{name}_100k.mtl',
            f'tex/{name}_dif_8k.jpg',
            f'tex/{name}_gloss_8k.jpg',
        )
        write_zip(folder / f'{name}_OBJ.zip', {f'{top}{file}': file.encode() for file in files})


def thuman2_rendered(folder, count=2):
    for view in ('face', 'upper', 'full'):
        geometry(folder / view, count=count)
