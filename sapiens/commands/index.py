"""Write the index of tar shards, from which training starts without reading the shards.

SHARDS are paths or URLs of uncompressed tar files in WebDataset's layout, with braces as in configs. The headers of all members
are read once. The index holds 8 bytes per image; TarShards(shards='.../index.safetensors') reads it. Write it again after a
change of the shards.

Examples:
    sapiens index 'shards/shard-{000000..000999}.tar'
    sapiens index 's3://bucket/shard-{000..120}.tar' --out s3://bucket/index.safetensors
"""

import posixpath
import sys

from tqdm import tqdm

from sapiens.datasets.shard_index import INDEX_SUFFIX, scan_shards, write_index
from sapiens.datasets.shard_names import expand_shards
from sapiens.utils.cli import tool_parser

_SHOWN = 10


def main(argv: list[str] | None = None) -> int:
    parser = tool_parser(__doc__)
    parser.add_argument('shards', nargs='+', help='paths or URLs of shards, with braces')
    parser.add_argument('--out', help=f'index file; default: index{INDEX_SUFFIX} in the folder of the first shard')
    args = parser.parse_args(argv)
    shards = expand_shards(args.shards)
    out = args.out or posixpath.join(posixpath.dirname(shards[0]), f'index{INDEX_SUFFIX}')
    if not out.endswith(INDEX_SUFFIX):
        raise ValueError(f'--out {out}: expected a name that ends in {INDEX_SUFFIX}')
    bar = tqdm(total=len(shards), desc='shards', disable=not sys.stderr.isatty(), leave=False)

    def progress(scans):
        for scan in scans:
            bar.update()
            yield scan

    scans = scan_shards(shards, progress)
    bar.close()
    count = sum(len(scan.places) for scan in scans)
    if not count:
        raise ValueError(f'no image in the {len(shards)} shards from {shards[0]}')
    write_index(out, shards, scans)
    left_out = [entry for scan in scans for entry in scan.left_out]
    for path, reason in left_out[:_SHOWN]:
        print(f'not used: {path}: {reason}')
    if len(left_out) > _SHOWN:
        print(f'not used: {len(left_out) - _SHOWN} more')
    print(f'{count} images in {len(shards)} shards of {sum(scan.size for scan in scans) / 1e9:.3g} GB: {out}')
    return 0
