"""Show a merged config, with the file that sets each value.

Examples:
    sapiens config configs/mae/sapiens_1b_humans300m-1024x1024.py
    sapiens config CONFIG --only optim_wrapper --cfg-options optim_wrapper.optimizer.lr=1e-4
    sapiens config CONFIG --json > merged.json
"""

import contextlib
import json
import os
import sys
from pathlib import Path

from sapiens.utils.cli import tool_parser
from sapiens.utils.config import load_config, origin_of
from sapiens.utils.config_keys import flatten
from sapiens.utils.config_options import add_options_argument, parse_options

LONGEST = 110  # characters of `key = value`, except in JSON


def main(argv: list[str] | None = None) -> None:
    parser = tool_parser(__doc__)
    parser.add_argument('config')
    parser.add_argument('--only', default='', metavar='PREFIX', help='keys that begin with this')
    parser.add_argument('--json', action='store_true', help='print {key: {value, file}} as JSON')
    add_options_argument(parser)
    args = parser.parse_args(argv)

    with contextlib.redirect_stdout(sys.stderr):  # MMEngine prints which environment variables it uses
        before = flatten(load_config(args.config)._cfg_dict.to_dict())
        values = flatten(load_config(args.config, args.cfg_options)._cfg_dict.to_dict())
        origins = origin_of(args.config)
    given = [key.removeprefix('+') for key in parse_options(args.cfg_options)]
    rows = {}
    for key, value in values.items():
        if key.startswith(args.only):
            changed = key not in before or before[key] != value or any(f'{key}.'.startswith(f'{k}.') for k in given)
            file = 'command line' if changed else os.path.relpath(origins[key], Path.cwd())
            rows[key] = dict(value=value, file=file)
    if not rows:
        raise ValueError(f'--only {args.only}: no key of {args.config} begins with it')
    if args.json:
        print(json.dumps(rows, indent=2, default=str))
        return
    texts = [f'{key} = {row["value"]!r}' for key, row in rows.items()]
    texts = [text if len(text) <= LONGEST else f'{text[: LONGEST - 3]}...' for text in texts]
    width = max(map(len, texts))
    for text, row in zip(texts, rows.values(), strict=True):
        print(f'{text:<{width}}  # {row["file"]}')
