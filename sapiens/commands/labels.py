"""Write label maps for segmentation from polygons, run lengths or masks in colors.

SOURCE is a COCO file (polygons, run lengths), a folder of Labelme's JSON files, or a folder of masks in colors with CVAT's
labelmap.txt in it or beside it. The label maps are 8-bit PNGs; the class of each id is printed and written to classes.py, whose
path a dataset takes as classes=. SegmentationDataset also reads COCO files without a conversion (ann_file=).

Examples:
    sapiens labels annotations/instances_default.json --out labels
    sapiens labels labelme_folder --out labels --overlap later
    sapiens labels SegmentationClass --out labels
"""

import json
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

from sapiens.coco import read_segments
from sapiens.coco.segments import OVERLAPS
from sapiens.own_data.label_maps import labels_from_colors, labels_from_segments, labels_of_names, read_labelmap
from sapiens.own_data.labelme import is_labelme, labelme_to_coco
from sapiens.utils.cli import tool_parser
from sapiens.utils.files import write_atomically


def main(argv: list[str] | None = None) -> int:
    parser = tool_parser(__doc__)
    parser.add_argument('source', type=Path, help='a COCO file, or a folder of Labelme files or of masks in colors')
    parser.add_argument('--out', type=Path, required=True, help='folder of the label maps')
    text = 'which of two segments of COCO and Labelme files lies on top; default: %(default)s'
    parser.add_argument('--overlap', choices=OVERLAPS, default='smaller', help=text)
    args = parser.parse_args(argv)
    if args.source.is_file():
        classes, count, left_out = from_coco(args.source, args)
    elif args.source.is_dir():
        classes, count, left_out = from_folder(args)
    else:
        raise FileNotFoundError(f'no file or folder {args.source}')
    if not count:
        raise ValueError(f'{args.source}: no image has a segment{describe(left_out)}')
    path = args.out / 'classes.py'
    write_atomically(path, f'classes = dict(name={args.out.resolve().name!r}, classes={classes!r})\n')
    for label, name in enumerate(classes):
        print(f'{label:5d}  {name}')
    print(f'{count} label maps in {args.out}, classes in {path}{describe(left_out)}')
    return 0


def describe(left_out: dict) -> str:
    counts = {what: found if isinstance(found, int) else len(found) for what, found in left_out.items()}
    return ''.join(f'\nleft out: {count} with {what}' for what, count in counts.items())


def from_coco(path: Path, args) -> tuple[list[str], int, dict]:
    found = read_segments(str(path))
    used = {category for text in found.items for category, _ in json.loads(text)}
    names = list(dict.fromkeys(found.categories[number] for number in sorted(used)))
    if not any(name.lower().strip('_') == 'background' for name in names):
        names = ['background', *names]
    ids = labels_of_names(sorted(names, key=lambda name: name.lower().strip('_') != 'background'))
    labels = {number: ids[found.categories[number]] for number in used}
    count = labels_from_segments(found, labels, args.out, args.overlap, bar)
    return [name for name, label in ids.items() if label != 255], count, found.left_out


def from_folder(args) -> tuple[list[str], int, dict]:
    files = [str(path) for path in sorted(args.source.rglob('*.json')) if is_labelme(str(path))]
    if files:
        content, left_out = labelme_to_coco(files, str(args.source))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, 'labelme.json')
            path.write_text(json.dumps(content))
            classes, count, more = from_coco(path, args)
        return classes, count, left_out | more
    labelmap = next(
        (path for path in (args.source / 'labelmap.txt', args.source.parent / 'labelmap.txt') if path.is_file()), None
    )
    if labelmap is None:
        raise ValueError(f'{args.source} has neither Labelme files nor a labelmap.txt with the colors of the classes')
    colors = read_labelmap(labelmap)
    ids = labels_of_names(list(colors))
    masks = {str(path.relative_to(args.source)): str(path) for path in sorted(args.source.rglob('*.png'))}
    count = labels_from_colors(masks, {colors[name]: label for name, label in ids.items()}, args.out, bar)
    return [name for name, label in ids.items() if label != 255], count, {}


def bar(items):
    """A progress bar on a terminal."""
    return tqdm(items, desc='label maps', disable=not sys.stderr.isatty(), leave=False)
