"""Download published checkpoints by name from the Hugging Face hub.

Files go to $SAPIENS_CHECKPOINT_ROOT (default: checkpoints). An interrupted download resumes. Size and checksum are compared with
the hub's, and the tensors with those of the model. Every command that takes a checkpoint then takes the name. Models of size
tiny are part of the package.

Examples:
    sapiens download --list                                # names, sizes, scores, licenses, and what is here already
    sapiens download sapiens-pose-1b
    sapiens download sapiens-pose-0.3b sapiens-seg-0.3b --root /data/checkpoints
    sapiens download sapiens-depth-1b --form torchscript   # or bfloat16: for inference
    sapiens test configs/pose/sapiens_1b_goliath-1024x768.py sapiens-pose-1b

The weights have their own license, not that of this package. It is shown before each download.
"""

import argparse
import sys
from pathlib import Path

from sapiens.apis.loading.download import compare_with_card, download
from sapiens.checkpoints import FORMS, LICENCES, ZOO, Entry, checkpoint_root, find, look_up
from sapiens.checkpoints.zoo import about_licence
from sapiens.utils.cli import tool_parser


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('names', nargs='*', metavar='NAME',
                        help='of published models (--list shows them), or their hub ids')  # fmt: skip
    parser.add_argument('--form', choices=list(FORMS),
                        help='original weights (default), or a graph for inference: torchscript, bfloat16')  # fmt: skip
    parser.add_argument('--root', type=Path, metavar='DIR', help='instead of $SAPIENS_CHECKPOINT_ROOT')
    parser.add_argument('--list', action='store_true', help='show the published models and exit')
    args = parser.parse_args(argv)
    if bool(args.names) == args.list:
        parser.error('give names of models to fetch, or --list to see them')
    return args


def wanted_form(name: str, form: str | None) -> tuple[Entry, str]:
    """The model of a name and the form to download: that of ``--form``, else one that the name asks for."""
    entry = find(name)
    return entry, entry.default_form(form or look_up(name)[1] or 'original')


def table(root: Path) -> str:
    rows = [('name', 'task', 'size', 'outputs', 'forms', 'here', 'license', 'published')]
    for entry in ZOO.values():
        forms = tuple(entry.repos) or ('original',)
        here = [form for form in forms if any(place.is_file() for place in entry.places(root, form))]
        scores = '; '.join(
            f'{protocol} ' + ', '.join(f'{name} {score}' for name, score in scores.items())
            for protocol, scores in entry.published.items()
        )
        outputs = str(entry.num_outputs or '-')
        listed = ' '.join(entry.repos) or 'in the package', ' '.join(here) or '-'
        rows.append((entry.name, entry.task, entry.size, outputs, *listed, entry.licence, scores or '-'))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ['  '.join(map(str.ljust, row, widths)).rstrip() for row in rows]
    used = {entry.licence for entry in ZOO.values()}
    lines += ['', *(f'{name}: {about_licence(name)}' for name in LICENCES if name in used)]
    return '\n'.join(lines)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    if args.list:
        print(table(args.root or checkpoint_root()))
        return 0
    wanted = [wanted_form(name, args.form) for name in args.names]  # a wrong name fails before the first download
    failed = False
    for entry, form in wanted:
        try:
            path = download(entry, form, args.root)
            differences = compare_with_card(entry, path) if entry.has_known_shapes else []
        except (OSError, ValueError) as error:
            print(error, file=sys.stderr)
            failed = True
            continue
        if differences:
            failed = True
            text = f'{len(differences)} tensors are not as expected: {"; ".join(differences[:5])}'
            print(f'{entry.name}: {text}', file=sys.stderr)
        elif entry.has_known_shapes:
            print(f'{entry.name}: {len(entry.shapes())} tensors as expected')
    return int(failed)
