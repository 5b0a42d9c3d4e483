"""The public data sets that ``sapiens prepare`` knows. data/README.md shows the trees that result."""

from sapiens.metainfo.naming import not_known

from .spec import Download, KnownData, Rule

__all__ = ['KNOWN', 'find_data']

_COCO = 'http://images.cocodataset.org'
_RESEARCH = 'research only, not for commercial use'
_REQUEST = 'research only, on request'
_LIP_PAGE = 'https://lip.sysuhcp.com'
_JPG, _PNG = r'([^/]+\.jpg)', r'([^/]+\.png)'
_PICTURE = r'((?:_\d+k)?\.(?:jpe?g|png|tiff?))'
_RENDERED = 'renderings that are there'
# What the published evaluation reads of Hi4D, and the scans of the same frames.
_HI4D = (
    r'(pair(?:28|32|37)/[^/]+/(?:images/4|seg/img_seg_mask/4/all|frames|cameras)/.+|pair(?:28|32|37)/[^/]+/meta\.npz)'
)


def _coco_file(name: str, split: str, folder: str = 'annotations') -> Rule:
    return Rule(name.replace('.', r'\.'), f'{folder}/{name}', f'{folder}/{name}', (split,))


_SETS = (
    KnownData(
        name='coco',
        title='COCO 2017, people with 17 keypoints',
        folder='coco',
        source='https://cocodataset.org',
        license='annotations CC BY 4.0; images under the terms of Flickr, each with its own license',
        downloads=(
            Download(
                'annotations_trainval2017.zip',
                (
                    _coco_file('person_keypoints_train2017.json', 'train'),
                    _coco_file('person_keypoints_val2017.json', 'val'),
                ),
                f'{_COCO}/annotations/annotations_trainval2017.zip',
            ),
            Download(
                'val2017.zip',
                (Rule(rf'val2017/{_JPG}', r'val2017/\1', 'val2017/000000000139.jpg', ('val',)),),
                f'{_COCO}/zips/val2017.zip',
            ),
            Download(
                'train2017.zip',
                (Rule(rf'train2017/{_JPG}', r'train2017/\1', 'train2017/000000000009.jpg', ('train',)),),
                f'{_COCO}/zips/train2017.zip',
            ),
            Download(
                'COCO_val2017_detections_AP_H_70_person.json',
                (
                    _coco_file(
                        'COCO_val2017_detections_AP_H_70_person.json', 'val', folder='person_detection_results'
                    ),
                ),
                'https://huggingface.co/noahcao/sapiens-pose-coco',
                optional='evaluation in ground-truth boxes (val_dataloader.dataset.boxes=gt)',
            ),
        ),
        configs=('coco17.py',),
        config='pose/sapiens_0.3b_coco-1024x768.py',
    ),
    KnownData(
        name='coco-wholebody',
        title='COCO-WholeBody, people with 133 keypoints',
        folder='coco',
        source='https://github.com/jin-s13/COCO-WholeBody',
        license=_RESEARCH,
        downloads=(
            Download(
                'coco_wholebody_train_v1.0.json', (_coco_file('coco_wholebody_train_v1.0.json', 'train'),)
            ),
            Download('coco_wholebody_val_v1.0.json', (_coco_file('coco_wholebody_val_v1.0.json', 'val'),)),
        ),
        configs=('wholebody.py',),
        needs=('coco',),
        config='pose/sapiens_0.3b_wholebody-1024x768.py',
    ),
    KnownData(
        name='cihp',
        title='CIHP (Crowd Instance-level Human Parsing), 20 classes',
        folder='cihp',
        source=_LIP_PAGE,
        license=_RESEARCH,
        downloads=(
            Download(
                'instance-level_human_parsing.tar.gz',
                tuple(
                    Rule(rf'{part}/{folder}/{kind}', rf'{part}/{folder}/\1', f'{part}/{folder}/0000006.{kind[-4:-1]}', (split,))
                    for part, split in (('Training', 'train'), ('Validation', 'val'))
                    for folder, kind in (('Images', _JPG), ('Category_ids', _PNG))
                ),
            ),
        ),
        configs=('cihp.py',),
        expected=dict(train=28280, val=5000),
        config='seg/sapiens_0.3b_cihp-1024x768.py',
    ),
    KnownData(
        name='lip',
        title='LIP (Look into Person), 20 classes',
        folder='lip',
        source=_LIP_PAGE,
        license=_RESEARCH,
        downloads=tuple(
            Download(
                name,
                tuple(
                    Rule(
                        rf'{split}_{folder}/{kind}',
                        rf'{folder}/{split}_{folder}/\1',
                        f'{split}_{folder}/77_471474.{kind[-4:-1]}',
                        (split,),
                    )
                    for split in ('train', 'val')
                ),
            )
            for name, folder, kind in (
                ('TrainVal_images.zip', 'images', _JPG), ('TrainVal_parsing_annotations.zip', 'segmentations', _PNG),
            )
        ),
        configs=('lip.py',),
        expected=dict(train=30462, val=10000),
        config='seg/sapiens_0.3b_lip-1024x768.py',
    ),
    KnownData(
        name='atr',
        title='ATR (fashion photographs), 18 classes',
        folder='atr',
        source='https://github.com/lemondan/HumanParsing-Dataset',
        license='not known here: read it at the source',
        downloads=(
            Download(
                'ICCV15_fashion_dataset(ATR)*',
                (
                    Rule(rf'JPEGImages/{_JPG}', r'images/\1', 'JPEGImages/997_1.jpg'),
                    Rule(rf'SegmentationClassAug/{_PNG}', r'labels/\1', 'SegmentationClassAug/997_1.png'),
                ),
            ),
        ),
        datasets=dict(
            train=dict(type='SegmentationDataset', classes='goliath28', source_classes='atr18', data_root='atr')
        ),
    ),
    KnownData(
        name='pascal-person-part',
        title='PASCAL-Person-Part, the people of PASCAL-Part, 25 classes',
        folder='pascal_person_part',
        source='https://roozbehm.info/pascal-parts/pascal-parts.html',
        license='not known here: read it at the source; images under the terms of Flickr, each with its own license',
        downloads=(
            Download(
                'trainval.tar.gz',
                (Rule(r'Annotations_Part/([^/]+\.mat)', r'annotations/\1', 'Annotations_Part/2008_000003.mat'),),
            ),
            Download(
                'VOCtrainval_03-May-2010.tar',
                (Rule(rf'VOC2010/JPEGImages/{_JPG}', r'images/\1', 'VOC2010/JPEGImages/2008_000003.jpg', once='labels'),),
                'http://host.robots.ox.ac.uk/pascal/VOC/voc2010/VOCtrainval_03-May-2010.tar',
            ),
        ),
        datasets=dict(
            train=dict(
                type='SegmentationDataset',
                classes='goliath28',
                source_classes='pascal25',
                data_root='pascal_person_part',
            )
        ),
        convert='pascal_parts',
    ),
    KnownData(
        name='face-synthetics',
        title='FaceSynthetics, 19 classes',
        folder='face_synthetics',
        source='https://github.com/microsoft/FaceSynthetics',
        license=_RESEARCH,
        downloads=(
            Download('dataset_100*.zip', (Rule(r'(\d{6}(?:\.png|_seg\.png|_ldmks\.txt))', r'\1', '000000_seg.png'),)),
        ),
        configs=('face.py',),
        config='seg/sapiens_1b_face-1024x768.py',
    ),
    KnownData(
        name='render-people',
        title='RenderPeople, renderings of bought scans',
        folder='render_people',
        source='https://renderpeople.com',
        license='commercial license, bought per scan',
        downloads=(
            Download(
                'rp_*.zip',
                (
                    Rule(r'(rp_\w+?)_(\d+k)\.(obj|mtl)', r'\1/\1_\2.\3', 'rp_NAME_OBJ/rp_NAME_100k.obj'),
                    Rule(rf'(rp_\w+?)_dif{_PICTURE}', r'\1/tex/\1_dif\2', 'rp_NAME_OBJ/tex/rp_NAME_dif_8k.jpg'),
                ),
                optional=_RENDERED,
            ),
        ),
        configs=(
            'render_people_depth.py', 'render_people_normal.py', 'render_people_pointmap.py', 'render_people_albedo.py',
        ),
        rendered='{scans} --out {folder} --num 500000',
        scans='render_people_scans',
        release='RenderPeople',
        config='depth/sapiens_0.3b_renderpeople-1024x768.py',
    ),
    KnownData(
        name='hi4d',
        title='Hi4D, pairs of people, for evaluation',
        folder='hi4d',
        source='https://yifeiyin04.github.io/Hi4D',
        license=_REQUEST,
        downloads=(
            Download('pair*', (Rule(_HI4D, r'\1', 'pair28/dance28/images/4/000001.jpg', ('test',)),)),
        ),
        configs=('hi4d_depth.py', 'hi4d_normal.py'),
        rendered='{folder} --protocol hi4d',
        expected=dict(test=1195),
        config='depth/sapiens_0.3b_hi4d-1024x768.py',
    ),
    KnownData(
        name='thuman2',
        title='THuman2.0, scans of people, for evaluation',
        folder='thuman2',
        source='https://github.com/ytrock/THuman2.0-Dataset',
        license=_REQUEST,
        downloads=(
            Download(
                'THuman2.0*.zip',
                (
                    Rule(
                        r'(\d{4}/(?:\d{4}\.obj|material0\.(?:mtl|jpe?g)|smplx_param\.pkl))',
                        r'\1',
                        'THuman2.0_Release/0000/0000.obj',
                        ('test',),
                    ),
                ),
                optional=_RENDERED,
            ),
        ),
        configs=('thuman2_depth.py', 'thuman2_normal.py'),
        rendered='{scans} --out {folder} --protocol thuman2',
        scans='thuman2_scans',
        release='THuman2.0_Release',
        expected=dict(test=1578),
        config='depth/sapiens_0.3b_thuman2-1024x768.py',
    ),
)  # fmt: skip

KNOWN = {one.name: one for one in _SETS}


def find_data(name: str) -> KnownData:
    """The data set of a name; case, dashes, underscores and dots do not matter.

    Raises:
        ValueError: naming the nearest names.
    """
    plain = {''.join(filter(str.isalnum, one.lower())): one for one in KNOWN}
    plain |= dict(facesynthetics='face-synthetics', renderpeople='render-people', wholebody='coco-wholebody')
    plain |= dict(pascal='pascal-person-part', thuman20='thuman2', thuman='thuman2')
    found = plain.get(''.join(filter(str.isalnum, name.lower())))
    if found is None:
        raise ValueError(not_known('data set', name, list(KNOWN)))
    return KNOWN[found]
