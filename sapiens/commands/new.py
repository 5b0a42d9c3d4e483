"""Write a config that trains on own data: look at the data, check them, draw a batch.

Pose: COCO files with keypoints (CVAT, Label Studio, Roboflow) or Labelme's files with points.
Segmentation: COCO files with polygons or run lengths, Labelme's files, or folders of images and masks (ids or colors).
Depth and normals: folders of images, of depth or normals, and of masks of people.

The comment of the data set file lists what is inferred. What is doubtful is asked on a terminal, and otherwise refused with the
option that settles it. The exit status is 1 if the check finds a problem.

Examples:
    sapiens new --task pose exports/coco_keypoints --name hands
    sapiens new --task seg masks --name gear --values 0=background,255=helmet --size 1b
    sapiens new --task pose exports/coco_keypoints --name hands --family sapiens2 --shape 512 384
    sapiens new --task depth scans --name scans --depth-scale 0.001 --out configs/scans
    sapiens new --task pose people.json --images photos --name three --size tiny      # minutes on a CPU
"""

import os
import re
import shlex
import sys
from pathlib import Path

from tqdm import tqdm

from sapiens.checkpoints.families import FAMILIES
from sapiens.metainfo import skeleton_names
from sapiens.metainfo.classes import CLASSES
from sapiens.own_data.doubts import Doubts
from sapiens.own_data.model import SIZES, choose_model
from sapiens.own_data.plan import own_data_of
from sapiens.own_data.recipe import price
from sapiens.own_data.write import write_config
from sapiens.tasks import get_task, task_names
from sapiens.utils.cli import positive, tool_parser

from . import browse, check, flops

# Training samples below which a hint is printed.
FEW = 200
# {option: help} of what settles a doubt.
DOUBTS = {
    'train': 'COCO file for training',
    'val': 'COCO file for validation, or "split" to hold out a part of the training data',
    'images': 'folder of the images',
    'labels': 'folder of the masks, of depth or of normals',
    'unlabeled': 'of images without a mask, depth or normals: skip leaves them out',
    'category': 'pose: the categories to learn, of several with keypoints',
    'keypoints': 'pose: names of the keypoints in the order of the file, or a skeleton: coco17',
    'boxes': 'pose: of people without a box: keypoints makes one, skip leaves them out',
    'flip': 'what swaps in a mirrored image: a:b,c:d, or none',
    'classes': 'segmentation: names of the classes in the order of the ids, a class list, or a .py file',
    'values': 'segmentation: 0=background,255=person,128=ignore',
    'colors': "segmentation: CVAT's labelmap.txt, for masks in colors",
    'depth-scale': 'depth: meters of one unit of the files',
    'normal-frame': 'normals: published (y up, z towards the camera) or camera (y down, z forward)',
    'masks': 'depth, normals: folder of masks of people, or none',
}


def parse_args(argv: list[str] | None):
    parser = tool_parser(__doc__, first=('--size', '--family', '--shape', '--out'))
    parser.add_argument('data', help='folder of the data, or a COCO file')
    parser.add_argument('--task', required=True, choices=[name for name in task_names() if get_task(name).own_data])
    parser.add_argument('--name', required=True, help='of the data set: letters, digits and _')
    parser.add_argument('--family', choices=list(SIZES), help='of the model; default: the first one that has the size')
    listed = '; '.join(f'{name}: {", ".join(sizes)}' for name, sizes in SIZES.items())
    defaults = ', '.join(f'{family.default_size} ({name})' for name, family in FAMILIES.items())
    text = f'of the model ({listed}); tiny is for CPUs; default: {defaults}'
    parser.add_argument('--size', metavar='SIZE', help=text)
    text = 'height and width of the input in pixels; default: 1024 768, of tiny 128 96'
    parser.add_argument('--shape', type=positive, nargs=2, metavar=('HEIGHT', 'WIDTH'), help=text)
    parser.add_argument('--out', type=Path, help='folder of the config; default: NAME')
    group = parser.add_argument_group('what the data leave open')
    for option, text in DOUBTS.items():
        group.add_argument(f'--{option}', metavar=option.upper().replace('-', '_'), help=text)
    args = parser.parse_args(argv)
    if not re.fullmatch(r'[A-Za-z][A-Za-z0-9_]*', args.name) or args.name in (*skeleton_names(), *CLASSES):
        parser.error(
            f'--name {args.name}: expected letters, digits and _, and not the name of a skeleton or class list'
        )
    try:
        args.model = choose_model(args.task, args.family, args.size, args.shape and tuple(args.shape))
    except ValueError as error:
        parser.error(str(error))
    args.out = args.out or Path(args.name)
    return args


def ask(text: str) -> str:
    """The answer of a person."""
    try:
        return input(f'\n{text}')
    except EOFError:
        raise ValueError('no answer') from None


def bar(items):
    """A progress bar on a terminal."""
    return tqdm(items, desc='label maps', disable=not sys.stderr.isatty(), leave=False)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    given = {option: getattr(args, option.replace('-', '_')) for option in DOUBTS}
    given = {option: value for option, value in given.items() if value is not None}
    doubts = Doubts(given, ask if sys.stdin is not None and sys.stdin.isatty() else None)
    data, out = os.path.expanduser(args.data), str(args.out)
    plan = own_data_of(args.task).look(data, args.name, out, doubts)
    doubts.refuse_unused()
    command = [
        'sapiens',
        'new',
        '--task',
        args.task,
        args.data,
        '--name',
        args.name,
        '--family',
        args.model.family,
        '--size',
        args.model.size,
        '--out',
        out,
    ]
    command += ['--shape', *map(str, args.shape)] if args.shape else []
    command += [word for option, value in doubts.given.items() for word in (f'--{option}', value)]
    leaf, schedule, samples = write_config(plan, args.name, args.model, args.out, shlex.join(command), bar)
    print('Found:', *plan.notes, sep='\n  ')
    print(f'\nWritten: {args.out / args.name}.py, {leaf}')
    wrong = 0
    for split in ('train', 'val'):
        print(f'\nChecking: sapiens check {leaf} --split {split}', flush=True)
        wrong |= check.main([str(leaf), '--split', split])
    if wrong:
        print(
            f'\nThe check found problems: correct the data, or {args.out / args.name}.py. Then: sapiens check {leaf}'
        )
        return 1
    figure = args.out / 'batch.png'
    print(f'\nDrawing: sapiens browse {leaf} --out {figure}', flush=True)
    browse.main([str(leaf), '--out', str(figure), '--samples', '16', '--tile', '384'])
    print(f'\nLook at {figure}: are keypoints and classes where they belong, also in mirrored images?')
    print('\nThe training costs:', *price(*flops.of_config(leaf), schedule), sep='\n  ')
    if samples < FEW:
        print(f'\n{samples} samples are few: expect overfitting. See "Few images" in docs/finetune.md')
    print(f'\nTrain:\n  sapiens train {shlex.quote(str(leaf))}\nIf it trains but does not learn: docs/finetune.md')
    return 0
