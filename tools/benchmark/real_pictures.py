"""The pictures of docs/benchmark.md and of the README: what the weights of the package predict.

The pictures are chosen by their number, not by how they look: the first of "sapiens render --seed 21", and two photographs that
scikit-image has, "astronaut" (NASA, public domain) and "camera" (Lav Varshney, CC0). People are found by the detector of the
package. A row of a sheet has the picture with boxes, keypoints, parts, depth (bright is near) and normals.

    python tools/benchmark/real_pictures.py --out docs/figures/own_weights.jpg
    python tools/benchmark/real_pictures.py --rendered 3 --no-photographs --columns 1 --out docs/figures/inference.jpg
"""

import argparse
import tempfile
from importlib.resources import files
from pathlib import Path

import cv2

from sapiens.commands import infer, render
from sapiens.commands.quickstart import PHOTOGRAPHS
from sapiens.utils.cli import positive, tool_parser
from sapiens.visualization.layout import contact_sheet

RENDER = '--seed 21 --size 384x512 --people 1-1 --format jpg --labels mask'
DRAW = '--figure --no-legend --palette published --show-boxes'


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('--rendered', type=positive, default=10, metavar='N', help='people (default: %(default)s)')
    parser.add_argument('--no-photographs', action='store_true', help='rendered people only')
    parser.add_argument(
        '--columns', type=positive, default=2, metavar='N', help='pictures in a row (default: %(default)s)'
    )
    parser.add_argument('--width', type=positive, default=800, help='of a picture with its results, pixels')
    parser.add_argument('--out', type=Path, required=True, metavar='FILE')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with tempfile.TemporaryDirectory() as folder:
        new = Path(folder) / 'new'
        render.main(['--out', str(new), '--num', str(args.rendered), *RENDER.split()])
        if not args.no_photographs:
            for name in PHOTOGRAPHS:
                (new / 'rgb' / name).write_bytes((files('skimage') / 'data' / name).read_bytes())
        infer.main(['all', str(new / 'rgb'), '--out', f'{folder}/out', *DRAW.split()])
        figures = [scaled(path, args.width) for path in sorted(Path(f'{folder}/out/figure').iterdir())]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    sheet = contact_sheet(figures, args.columns)
    cv2.imwrite(str(args.out), sheet, [cv2.IMWRITE_JPEG_QUALITY, 88])
    print(f'{args.out}: {len(figures)} pictures, {sheet.shape[1]} x {sheet.shape[0]} pixels')


def scaled(path: Path, width: int):
    """A picture (H, W, 3) in the order of OpenCV, of a width in pixels."""
    pixels = cv2.imread(str(path))
    return cv2.resize(pixels, (width, round(pixels.shape[0] * width / pixels.shape[1])), interpolation=cv2.INTER_AREA)


if __name__ == '__main__':
    main()
