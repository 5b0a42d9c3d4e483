"""Precision and recall of the filters of a curation, on files made for it.

Photographs are cut into crops that show different things. Of each, copies are made in other qualities, sizes, formats, crops and
brightness. Pages of text, drawings, rendered people, photographs with watermarks and with captions on transparent bands, broken
and small files are added. The command's own stages then score them all. Detectors and models of images and texts need weights,
and are not measured. The text filter is, where its package is installed.

Examples:
    python tools/benchmark/curation.py photographs --out work_dirs/curation
    python tools/benchmark/curation.py photographs --out work_dirs/curation --rendered people/rgb --photos 10
"""

import argparse
import importlib.util
import io
import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image, ImageDraw, ImageEnhance, ImageFont

from sapiens.bulk import LocalEngine, OutputFolder
from sapiens.curation import load_settings
from sapiens.curation.filters.text import PACKAGE
from sapiens.curation.report import write_report
from sapiens.curation.run import Curation
from sapiens.curation.sources import expand_sources, write_new_lists
from sapiens.curation.statistics import collect, describe

WORDS = ['light', 'body', 'pose', 'depth', 'normal', 'field', 'camera', 'image', 'model', 'human', 'surface', 'data']
# Kind of a copy -> how it is made.
COPIES = {
    'exact': lambda image: image,
    'JPEG 40': lambda image: reload(image, 'JPEG', quality=40),
    'JPEG 15': lambda image: reload(image, 'JPEG', quality=15),
    'WebP 60': lambda image: reload(image, 'WEBP', quality=60),
    'scale 0.8': lambda image: image.resize([round(0.8 * side) for side in image.size]),
    'scale 0.5': lambda image: image.resize([side // 2 for side in image.size]),
    'brighter 15 %': lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    'cut 2 %': lambda image: cut(image, 0.02),
    'cut 5 %': lambda image: cut(image, 0.05),
    'cut 10 %': lambda image: cut(image, 0.10),
    'mirrored': lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('photographs', type=Path, help='folder of photographs')
    parser.add_argument('--out', type=Path, required=True, help='for files, table and report')
    parser.add_argument('--photos', type=int, default=100, help='number of photographs; default: %(default)s')
    text = 'folder of rendered people (sapiens render); default: some are rendered here'
    parser.add_argument('--rendered', type=Path, help=text)
    parser.add_argument('--workers', type=int, default=2, help='default: %(default)s')
    args = parser.parse_args()
    files, out = args.out / 'files', args.out / 'curated'
    if not files.is_dir():
        make_files(args.photographs, args.photos, args.rendered, files)
    has_text = importlib.util.find_spec(PACKAGE) is not None
    options = ['filters.people=None', 'unit_size=500', 'filters.size.side=200']
    options += ['filters.text.type=Text'] if has_text else []
    settings = load_settings('curation/humans300m.py', options)
    with LocalEngine(args.workers) as engine, OutputFolder(out) as folder:
        write_new_lists(folder.path, expand_sources([str(files)]), settings.unit_size)
        curation = Curation(settings, folder, engine)
        curation.measure()
        found = collect(curation.table, curation.filters, 24)
        print('\n'.join(describe(found, curation.filters)))
        write_report(out / 'report.html', found, curation.filters)
        rows = pq.read_table(curation.table).to_pylist()
    for line in table(rows, has_text):
        print(line)


def make_files(photographs: Path, count: int, rendered: Path | None, folder: Path) -> None:
    """Write the files. A name is ``KIND__NUMBER__COPY``. There are up to 100 of each kind that is not a photograph."""
    others = min(100, 4 * count)
    generator = random.Random(0)
    paths = sorted(path for path in photographs.rglob('*.jpg'))
    # The same photograph lies in several folders there.
    paths = list({path.name: path for path in generator.sample(paths, len(paths))}.values())[:count]
    folder.mkdir(parents=True)
    number = 0
    for path in paths:
        photo = Image.open(path).convert('RGB')
        photo.thumbnail((1000, 1000))
        width, height = photo.size
        boxes = [(0, 0, 0.5, 0.5), (0.5, 0, 1, 0.5), (0, 0.5, 0.5, 1), (0.5, 0.5, 1, 1)]
        for left, top, right, bottom in boxes:
            crop = photo.crop([round(part) for part in (left * width, top * height, right * width, bottom * height)])
            crop = crop.resize([2 * side for side in crop.size], Image.Resampling.LANCZOS)
            save(crop, folder / f'photo__{number:05d}__original.jpg', 95)
            for kind, change in COPIES.items():
                quality = 95 if kind != 'exact' else None
                if quality is None:
                    data = (folder / f'photo__{number:05d}__original.jpg').read_bytes()
                    (folder / f'photo__{number:05d}__{kind}.jpg').write_bytes(data)
                else:
                    save(change(crop), folder / f'photo__{number:05d}__{kind}.jpg', quality)
            number += 1
        # Two parts of each, which are no near duplicates of the crops.
        for part, box in enumerate([(0.2, 0.2, 0.8, 0.8), (0.1, 0.3, 0.6, 0.9)][: 1 + (count < others)]):
            middle = photo.crop([round(side * edge) for side, edge in zip((width, height) * 2, box, strict=True)])
            save(watermarked(middle, generator), folder / f'watermark__{number:05d}__{part}.jpg', 90)
            save(banded(middle, generator), folder / f'band__{number:05d}__{part}.jpg', 90)
    for index, image in enumerate(rendered_people(rendered, others)):
        save(image, folder / f'rendered__{index:05d}__.jpg', 92)
    for index in range(others):
        save(page(generator), folder / f'page__{index:05d}__.jpg', 90)
        save(drawing(generator), folder / f'drawing__{index:05d}__.jpg', 90)
        tiny = Image.fromarray(np.random.default_rng(index).integers(0, 255, (150, 150, 3), np.uint8))
        save(tiny, folder / f'small__{index:05d}__.jpg', 90)
        data = (folder / f'photo__{index:05d}__JPEG 40.jpg').read_bytes()
        (folder / f'broken__{index:05d}__.jpg').write_bytes(
            (data[: len(data) * (index % 9 + 1) // 11], b'', b'no image')[index % 3]
        )


def reload(image: Image.Image, kind: str, **options) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return Image.open(buffer).convert('RGB')


def save(image: Image.Image, path: Path, quality: int) -> None:
    image.save(path, quality=quality)


def cut(image: Image.Image, part: float) -> Image.Image:
    """Take a part of the width and height away, at the left and the top."""
    width, height = image.size
    return image.crop((round(part * width), round(part * height), width, height))


def page(generator: random.Random) -> Image.Image:
    """A page or a slide with lines of text, on white or dark."""
    dark = generator.random() < 0.3
    image = Image.new('RGB', (900, 700), (30, 32, 40) if dark else (255, 255, 255))
    draw, y = ImageDraw.Draw(image), 30
    size = generator.choice([18, 24, 36])
    while y < 650:
        words = ' '.join(generator.choices(WORDS, k=generator.randint(3, 1400 // (4 * size))))
        draw.text((40, y), words, (220, 220, 220) if dark else (20, 20, 20), ImageFont.load_default(size))
        y += round(1.5 * size)
    return image


def drawing(generator: random.Random) -> Image.Image:
    """Flat shapes with outlines."""
    image = Image.new('RGB', (800, 600), tuple(generator.choices(range(180, 256), k=3)))
    draw = ImageDraw.Draw(image)
    for _ in range(generator.randint(5, 25)):
        x, y, side = generator.randint(0, 700), generator.randint(0, 500), generator.randint(30, 300)
        box, color = (x, y, x + side, y + side * 2 // 3), tuple(generator.choices(range(256), k=3))
        generator.choice([draw.ellipse, draw.rectangle])(box, fill=color, outline=(0, 0, 0), width=4)
    return image


def watermarked(image: Image.Image, generator: random.Random) -> Image.Image:
    """The same half-transparent words in a grid over a photograph."""
    image = image.resize((900, 900 * image.height // image.width)).convert('RGBA')
    layer = Image.new('RGBA', image.size, (0, 0, 0, 0))
    draw, text = ImageDraw.Draw(layer), ' '.join(generator.choices(WORDS, k=2)).upper()
    for y in range(40, image.height, 120):
        for x in range(20, image.width, 300):
            draw.text((x, y), text, (255, 255, 255, 150), ImageFont.load_default(26))
    return Image.alpha_composite(image, layer).convert('RGB')


def banded(image: Image.Image, generator: random.Random) -> Image.Image:
    """A caption on a flat, half-transparent band over the width of a photograph, at its edge or across it."""
    image = image.resize((900, 900 * image.height // image.width)).convert('RGBA')
    layer = Image.new('RGBA', image.size, (0, 0, 0, 0))
    draw, height = ImageDraw.Draw(layer), round(image.height * generator.uniform(0.07, 0.14))
    top = generator.choice([0, image.height - height, round(generator.uniform(0.15, 0.8) * image.height)])
    dark, opacity = generator.random() < 0.7, generator.randint(100, 190)
    draw.rectangle((0, top, image.width, top + height), fill=(*((0, 0, 0) if dark else (255, 255, 255)), opacity))
    text, color = ' '.join(generator.choices(WORDS, k=3)), (255, 255, 255, 255) if dark else (0, 0, 0, 255)
    draw.text((generator.randint(20, 200), top + height // 5), text, color, ImageFont.load_default(height // 2))
    return Image.alpha_composite(image, layer).convert('RGB')


def rendered_people(folder: Path | None, most: int) -> Iterator[Image.Image]:
    """Images of rendered people, of a folder or, a dozen at most, rendered here."""
    if folder is not None:
        paths = sorted(path for path in folder.rglob('*') if path.suffix in ('.jpg', '.png'))[:most]
        if not paths:
            raise SystemExit(f'no .jpg or .png below {folder}')
        for path in paths:
            image = Image.open(path).convert('RGB')
            yield image.resize([round(max(1.0, 320 / min(image.size)) * side) for side in image.size])
        return
    from sapiens.synthetic import HumanGenerator

    generator = HumanGenerator((320, 416), people=(1, 3))
    for seed in range(min(most, 12)):
        yield Image.fromarray(generator(seed).image)


def table(rows: list[dict], has_text: bool) -> list[str]:
    """Return a Markdown table."""
    kinds = {row['key']: Path(row['path']).stem.split('__') for row in rows}
    lines = ['', '| filter | what it should find | recall | precision | |', '| --- | --- | --- | --- | --- |']

    def line(name: str, what: str, seen: list[dict], wanted: set[str], note: str = '') -> None:
        hits = [kinds[row['key']][0] in wanted for row in seen if row['reason'] == name]
        total = sum(kinds[row['key']][0] in wanted for row in seen)
        precision = f'{100 * sum(hits) / len(hits):.1f} % of {len(hits)}' if hits else '-'
        lines.append(
            f'| {name} | {what} | {100 * sum(hits) / max(total, 1):.1f} % of {total} | {precision} | {note} |'
        )

    line('unreadable', 'broken files', rows, {'broken'})
    seen = [row for row in rows if row['reason'] != 'unreadable']
    line('size', 'small files', seen, {'small'}, 'some crops are small too, or long')
    seen = [row for row in seen if row['reason'] != 'size']
    line('natural', 'drawings and pages', seen, {'drawing', 'page'}, 'by colors and edges only')
    passed = [row['reason'] != 'natural' for row in seen if kinds[row['key']][0] == 'rendered']
    lines.append(
        f'| natural | rendered people | {100 - 100 * sum(passed) / max(len(passed), 1):.1f} % of {len(passed)} | | |'
    )
    seen = [row for row in seen if row['reason'] != 'natural']
    number_of = {row['key']: kinds[row['key']][:2] for row in rows}
    removed = [row for row in seen if row['reason'] == 'duplicates']
    right = sum(number_of[row['key']] == number_of[row['duplicates_of']] for row in removed)
    groups = Counter(tuple(number_of[row['key']]) for row in seen if kinds[row['key']][0] == 'photo')
    recall, precision = per_kind(seen, kinds), f'{100 * right / max(len(removed), 1):.1f} % of {len(removed)}'
    lines.append(f'| duplicates | copies, but one of each | {recall} | {precision} | {len(groups)} originals |')
    seen = [row for row in seen if row['reason'] != 'duplicates']
    if has_text:
        written = {'watermark', 'band', 'page'}
        line('text', 'watermarks, bands, pages', seen, written, 'photographs may show text too')
        for kind in sorted(written):
            hits = [row['reason'] == 'text' for row in seen if kinds[row['key']][0] == kind]
            lines.append(f'| text | {kind} | {100 * sum(hits) / max(len(hits), 1):.1f} % of {len(hits)} | | |')
    else:
        lines.append(f'| text | | not measured | not measured | {PACKAGE} is not installed |')
    reason = 'no weights without a download; tests put known scores through'
    lines += [f'| people, imagetext | | not measured | not measured | {reason} |', '']
    scores = {kind: [row['natural_score'] for row in rows if kinds[row['key']][0] == kind and row['natural_score'] is not None]
              for kind in ('photo', 'watermark', 'page', 'drawing')}  # fmt: skip
    parts = {
        kind: np.percentile(values, [1, 10, 50, 90, 99]).round(2).tolist() for kind, values in scores.items() if values
    }
    return [*lines, f'natural_score, percentiles 1 10 50 90 99: {json.dumps(parts)}']


def per_kind(seen: list[dict], kinds: dict) -> str:
    """The recall of each kind of copy: it is in one group with the file that it was made from. One of each group is kept."""
    photos = [
        (*kinds[row['key']], row['duplicates_of'] or row['key']) for row in seen if kinds[row['key']][0] == 'photo'
    ]
    groups = {(number, copy): kept for _, number, copy, kept in photos}
    parts = []
    for copy in COPIES:
        pairs = [(kept, groups.get((number, 'original'))) for (number, kind), kept in groups.items() if kind == copy]
        pairs = [(one, two) for one, two in pairs if two is not None]
        parts.append(f'{copy} {100 * sum(one == two for one, two in pairs) / max(len(pairs), 1):.0f} %')
    return ', '.join(parts)


if __name__ == '__main__':
    main()
