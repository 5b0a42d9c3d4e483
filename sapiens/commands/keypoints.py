"""Convert the keypoints of result files to another skeleton.

INPUT is a file that `sapiens infer pose` has written, or a folder of them (searched at any depth): JSON of images and videos,
keypoints.coco.json, keypoints.csv. COCO results of other programs work too. Converted files go to --out under the names of the
inputs. Keypoints without a partner are null with score 0, in COCO results 0, 0, 0 (docs/keypoints.md). Images are not drawn
again. Exit status: 0 all done, 1 some failed, 2 wrong arguments.

Examples:
    sapiens keypoints results --as coco17 --out results17
    sapiens keypoints results/a.json results/dance.json --as openpose25 --out body25
    sapiens keypoints results --as smplx127 --out joints --overwrite
    sapiens keypoints keypoints.coco.json --from goliath308 --as wholebody133 --out results133    # COCO names no keypoints
    sapiens keypoints results --as my_skeleton.py --out mine
"""

import argparse
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from sapiens.apis.inputs import is_inside
from sapiens.apis.writers.keypoint_files import SUFFIXES, KeypointFile, read_keypoint_file
from sapiens.metainfo import Skeleton, correspondences, get_skeleton, skeleton_names
from sapiens.utils.cli import tool_parser


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('input', nargs='+', type=Path, help='result files, and folders of them')
    known = f'{", ".join(skeleton_names())}, or a .py file with your own'
    parser.add_argument('--as', dest='target', required=True, metavar='SKELETON', help=f'to convert to: {known}')
    parser.add_argument('--out', type=Path, required=True, help='output folder')
    text = 'of files that do not name their keypoints: COCO results and --json-layout lite. Default: that of the other inputs'
    parser.add_argument('--from', dest='source', metavar='SKELETON', help=text)
    parser.add_argument('--overwrite', action='store_true', help='replace existing files')
    return parser.parse_args(argv)


def find_files(inputs: Sequence[Path], out: Path) -> dict[Path, Path]:
    """Return the place of each converted file, by input file.

    Raises:
        FileNotFoundError: no such input, or a folder without files.
        ValueError: an input of another suffix, an output among the inputs, or two inputs of one name.
    """
    if out.exists() and not out.is_dir():
        raise ValueError(f'--out {out} is a file: give the name of a folder')
    places: dict[Path, Path] = {}
    for path in (path.expanduser() for path in inputs):
        if path.is_dir():
            if is_inside(out, [path]):
                raise ValueError(f'--out {out} is in the input {path}: choose a folder outside of it')
            names = [file.relative_to(path) for file in sorted(path.rglob('*')) if file.suffix in SUFFIXES]
            found = [
                (path / name, out / name) for name in names if not any(part.startswith('.') for part in name.parts)
            ]
            if not found:
                raise FileNotFoundError(f'{path} holds no file that ends in {" or ".join(SUFFIXES)}')
        elif not path.exists():
            raise FileNotFoundError(f'no file or folder {path}')
        elif path.suffix not in SUFFIXES:
            raise ValueError(f'{path}: expected a file of keypoints, which ends in {" or ".join(SUFFIXES)}')
        else:
            found = [(path, out / path.name)]
        for file, place in found:
            if place.exists() and place.samefile(file):
                raise ValueError(f'--out {out} holds the input {file}: choose another folder')
            other = next((other for other, taken in places.items() if taken == place and other != file), None)
            if other:
                raise ValueError(f'{other} and {file} would both become {place}: convert them one by one')
            places[file] = place
    return places


def read(path: Path, wanted: bool) -> KeypointFile | None:
    """Read a file.

    Raises:
        ValueError: a damaged one, or a ``wanted`` one without keypoints.
    """
    file = read_keypoint_file(path)
    if file is None and wanted:
        raise ValueError(f'{path} has no keypoints of people that sapiens infer or COCO results would have')
    return file


def source_of(file: KeypointFile, path: Path, given: Skeleton | None, others: dict[str, Skeleton]) -> Skeleton:
    """The skeleton of a file that is read, given by the file, by --from, or by the ``others``, by name.

    Raises:
        ValueError: none of them is it, or they differ.
    """
    if file.skeleton is not None:
        if given is not None and given.keypoints != file.skeleton.keypoints:
            raise ValueError(f'{path} has the keypoints of {file.skeleton.name}, not those of --from {given.name}')
        return file.skeleton
    if given is None and len(others) != 1:
        raise ValueError(f'{path} does not name its keypoints: give their skeleton with --from')
    return given or next(iter(others.values()))


def describe(source: Skeleton, target: Skeleton) -> str:
    matches = correspondences(source, target)
    missing = [name for name, match in zip(target.keypoints, matches, strict=True) if match is None]
    kinds = [match.kind for match in matches if match is not None]
    counts = ', '.join(f'{kinds.count(kind)} {kind}' for kind in ('same', 'near', 'middle') if kind in kinds)
    more = f' ({", ".join(missing[:4])}{", ..." if len(missing) > 4 else ""})' if missing else ''
    return f'{source.name} to {target.name}: {counts}, {len(missing)} without a partner{more}'


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    target = get_skeleton(args.target)
    given = get_skeleton(args.source) if args.source else None
    places = find_files(args.input, args.out)
    there = [place for place in places.values() if place.exists()]
    if there and not args.overwrite:
        raise ValueError(
            f'{there[0]} exists{f", and {len(there) - 1} more" * (len(there) > 1)}: add --overwrite to replace'
        )
    named = {path for path in map(Path.expanduser, args.input) if path.is_file()}
    sources: dict[str, Skeleton] = {}
    failed: dict[Path, Exception] = {}
    left_out, later = 0, []
    # Files that name their keypoints come first, since they tell those of the others.
    with tqdm(total=len(places), desc='files', disable=not sys.stderr.isatty(), leave=False) as bar:
        for path in itertools.chain(places, later):
            try:
                file = read(path, path in named)
                if file is not None and file.skeleton is None and path not in later:
                    later.append(path)
                    continue
                if file is None:
                    left_out += 1
                else:
                    source = source_of(file, path, given, sources)
                    file.write(places[path], source, target)
                    sources[source.name] = source
            except (OSError, ValueError) as error:
                failed[path] = error
            bar.update()
    if len(places) == len(failed) == 1:
        raise ValueError(str(*failed.values()))
    for source in sources.values():
        print(describe(source, target))
    others = f'; left out, without keypoints: {left_out}' if left_out else ''
    print(f'files in {args.out}: {len(places) - left_out - len(failed)}{others}')
    for error in failed.values():
        print(f'failed: {error}', file=sys.stderr)
    return int(bool(failed))
