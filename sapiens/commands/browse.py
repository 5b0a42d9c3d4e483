"""Draw augmented samples of a config's dataset, with their labels, as one figure.

Labeled keypoints and boxes are drawn over the image, ignored boxes gray. Dense labels are drawn beside it, gray where the loss
ignores them: depth and points by their distance, points also by the normals of their surface, albedo as a picture, foregrounds
on a checkerboard. Several tasks have one block each.

Examples:
    sapiens browse configs/mae/sapiens_tiny_folder-256x256.py --out batch.png
    sapiens browse CONFIG --split val --samples 32 --cfg-options val_dataloader.dataset.data_root=photos
    sapiens browse CONFIG --tile 512 --samples 8      # larger, for many keypoints
"""

from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.data import IterableDataset

from sapiens.datasets import Draw
from sapiens.datasets.draw import hash63
from sapiens.frames import to_published
from sapiens.metainfo import class_list_from_dict
from sapiens.metainfo.palettes import with_palette
from sapiens.registry import DATASETS
from sapiens.tasks import target_fields
from sapiens.utils.cli import add_dataset_arguments, add_palette_argument, positive, tool_parser
from sapiens.utils.config import load_config
from sapiens.utils.srgb import encode_srgb
from sapiens.visualization import draw_pose, skeleton_of
from sapiens.visualization.albedo import draw_albedo
from sapiens.visualization.boxes import IGNORED_COLOR, TRUE_COLOR, draw_boxes, resized_boxes
from sapiens.visualization.labels import draw_depth, draw_normals, draw_segmentation
from sapiens.visualization.layout import LINE, NOTHING, caption, contact_sheet, join, resized_points, scaled
from sapiens.visualization.maps import draw_map
from sapiens.visualization.matting import checkerboard, draw_alpha, over
from sapiens.visualization.pointmap import draw_inverse_depth, point_normals

WIDTH = 1536  # pixels of a row of tiles


def label_pictures(data, image: np.ndarray, colors: np.ndarray | None) -> list[np.ndarray]:
    """One figure for each target of the image's size (labels in evaluation keep the size of their file)."""
    if 'valid_mask' not in data or tuple(data.valid_mask.shape) != image.shape[:2]:
        return []
    maps = {name: data.get(f'gt_{name}').numpy() for name in target_fields() if f'gt_{name}' in data}
    maps = {name: values if values.ndim == 2 else values.transpose(1, 2, 0) for name, values in maps.items()}
    pictures = []
    for name, values in maps.items():
        valid = data.get(f'valid_{name}', data.valid_mask).numpy()
        if name == 'sem_seg' and colors is not None:
            drawn = [draw_segmentation(image, values, colors)]
        elif name == 'depth':
            drawn = [draw_depth(values[..., 0], valid)]
        elif name == 'pointmap':
            normals = draw_normals(to_published(point_normals(values, valid)))
            drawn = [draw_inverse_depth(values[..., 2], valid), normals]
        elif name == 'albedo':
            drawn = [draw_albedo(encode_srgb(values), valid)]
        elif name == 'alpha':
            drawn = [draw_alpha(values[..., 0])]
        elif name == 'foreground' and 'alpha' in maps:
            drawn = [over(values, maps['alpha'][..., 0], checkerboard(values.shape[:2]))]
        else:
            drawn = [draw_map(values, target_fields()[name].kind, valid)]
        pictures += [np.where(valid[..., None], picture, np.uint8(NOTHING)) for picture in drawn]
    return pictures


def class_colors(metainfo: dict, palette: str) -> np.ndarray | None:
    """Colors (C, 3) of the classes of a dataset in a palette; None without classes."""
    if 'palette' not in metainfo:
        return None
    info = dict(name='classes', classes=metainfo['classes'], palette=metainfo['palette'], flip=False)
    return with_palette(class_list_from_dict(info), palette).palette


def draw(sample: dict, side: int, metainfo: dict, palette: str) -> np.ndarray:
    """A tile of one sample with its file name, what was done to it, and the number of its keypoints written under it."""
    data, skeleton = sample['data_samples'], skeleton_of(metainfo)
    pixels = np.ascontiguousarray(sample['inputs'].permute(1, 2, 0).numpy())
    image = scaled(pixels, side)
    lines = [Path(str(data.get('img_path', ''))).name, *describe(data)]
    if 'box_kinds' in data.get('gt_instance_labels', ()):
        labels = data.gt_instance_labels
        boxes, kinds = resized_boxes(labels.boxes[0].numpy(), pixels, image), labels.box_kinds[0].numpy()
        image = draw_boxes(
            draw_boxes(image, boxes[kinds == 2], color=IGNORED_COLOR), boxes[kinds == 1], color=TRUE_COLOR
        )
        lines.append(f'{(kinds == 1).sum()} people, {(kinds == 2).sum()} ignored')
    elif skeleton is not None and 'gt_instance_labels' in data:
        labels = data.gt_instance_labels
        points, weights = labels.keypoints[0].numpy(), labels.keypoint_weights[0].numpy()
        points = resized_points(points, pixels, image)
        image = draw_pose(image, points, weights > 0, skeleton, threshold=0.5, palette=palette)
        lines.append(f'{(weights > 0).sum()} of {len(weights)} keypoints')
    if pictures := label_pictures(data, pixels, class_colors(metainfo, palette)):
        image = join([image, *(scaled(picture, side) for picture in pictures)], axis=1)
        lines.append(f'labels on {data.valid_mask.float().mean():.0%} of the pixels')
    return join([image, caption(image.shape[1], *lines)], axis=0, gap=0)


def describe(data) -> list[str]:
    """Lines that say which part of the original image a sample shows, and what was done to it."""
    height, width = data.get('ori_shape', (0, 0))
    flip = ' flipped' if data.get('flip') else ''
    if 'input_scale' not in data:
        return [f'{tuple(data.get("crop", ()))} of {width}x{height}{flip}']
    x, y = np.ravel(data.get('input_center'))
    w, h = np.ravel(data.get('input_scale'))
    degrees = float(np.ravel(data.get('bbox_rotation', 0))[0])
    return [
        f'person {data.get("id")}, image of {width}x{height}',
        f'{w:.0f}x{h:.0f} at {x:.0f},{y:.0f}{f" turned {degrees:.0f}" if degrees else ""}{flip}',
    ]


def sheet(tiles: dict[str | None, list[np.ndarray]]) -> np.ndarray:
    """Tiles in rows of about ``WIDTH`` pixels; those of each of several tasks below its name, since their sizes differ."""
    blocks = []
    for task, images in tiles.items():
        block = contact_sheet(images, columns=max(1, WIDTH // max(image.shape[1] for image in images)))
        title = [] if task is None else [caption(block.shape[1], task, line=2 * LINE)]
        blocks.append(join([*title, block], axis=0))
    return join(blocks, axis=0, gap=LINE)


def main(argv: list[str] | None = None) -> None:
    parser = tool_parser(__doc__, first=('--out', '--split', '--samples', '--cfg-options'))
    add_dataset_arguments(parser, 24, 'draw')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/browse.png'), help='default: %(default)s')
    text = 'longer side of a tile in pixels; default: %(default)s'
    parser.add_argument('--tile', type=positive, default=256, help=text)
    add_palette_argument(parser.add_argument)
    args = parser.parse_args(argv)

    cfg = load_config(args.config, args.cfg_options)
    dataset = DATASETS.build(cfg[f'{args.split}_dataloader'].dataset)
    if not isinstance(dataset, IterableDataset):
        # Several tasks in turn.
        datasets = list(getattr(dataset, 'tasks', dict(all=dataset)).values())
        places = [(datasets[i % len(datasets)], i // len(datasets)) for i in range(args.samples)]
        draws = [(part, Draw(place % len(part), hash63(args.seed, i))) for i, (part, place) in enumerate(places)]
        samples = (part[draw] for part, draw in draws)
    else:
        samples = (sample for _, sample in zip(range(args.samples), dataset, strict=False))
    tiles: dict[str | None, list[np.ndarray]] = {}
    bad = []
    for sample in samples:
        task = sample['data_samples'].metainfo.get('task')  # of several
        metainfo = getattr(dataset if task is None else dataset.tasks[task], 'metainfo', None) or {}
        tiles.setdefault(task, []).append(draw(sample, args.tile, metainfo, args.palette))
        bad += sample.get('bad', [])
    args.out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet(tiles)).save(args.out, compress_level=1)  # PNG: small files cost most of the time
    for path, reason in bad:
        print(f'bad file {path}: {reason}')
    print(f'{dataset}: {sum(map(len, tiles.values()))} samples drawn to {args.out}')
