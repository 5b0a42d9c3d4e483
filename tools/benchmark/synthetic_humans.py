"""Time the making of synthetic people: images per second and core, where the time goes, memory, and the first image.

One process, one thread; CPU time, so that other work on the machine counts less. Every label is made; nothing is written.

Examples:
    python tools/benchmark/synthetic_humans.py
    python tools/benchmark/synthetic_humans.py --size 512x768 --num 50 --people 1-1
"""

import cProfile
import multiprocessing
import pstats
import resource
import time
from concurrent.futures import ProcessPoolExecutor

from sapiens.utils.cli import tool_parser

# Function -> the line of the table; the rest of a group is 'other'.
STAGES = {
    'sample_pose': 'poses, with contact',
    'dress': 'clothes, hair, accessories',
    'shape': 'body shapes',
    'skin_surfaces': 'skin',
    '_cells': 'keeping people apart',
    'sample_place': 'rooms and things',
    '_flatten': 'joining meshes',
    'Mesh': 'search tree for rays',
    'raster_kernel': 'depth buffer',
    'primary_kernel': 'labels and albedo',
    'light_kernel': 'shadows and ambient occlusion',
    'smooth_kernel': 'smoothing of light',
    'shade_kernel': 'shading',
    'edge_kernel': 'more rays on edges',
    'defocus': 'depth of field',
    'develop': 'photograph (tone, noise, JPEG)',
    '_label': 'keypoints and boxes',
}


def measure(size: tuple, people: tuple, num: int, seed: int) -> dict:
    """Runs in a separate process to measure its memory."""
    begin = time.perf_counter()
    import torch

    torch.set_num_threads(1)
    import warp

    from sapiens.synthetic import HumanGenerator

    generator = HumanGenerator(size, people=people)
    generator(seed)
    first = time.perf_counter() - begin
    start = time.process_time()
    persons = sum(len(generator(seed + 1 + index).people) for index in range(num))
    seconds = (time.process_time() - start) / num

    kernels: dict = {}
    launch = warp.launch

    def timed(kernel, *args, **kwargs):
        at = time.process_time()
        launch(kernel, *args, **kwargs)
        kernels[kernel.key] = kernels.get(kernel.key, 0) + time.process_time() - at

    class Mesh(warp.Mesh):
        def __init__(self, *args, **kwargs):
            at = time.process_time()
            super().__init__(*args, **kwargs)
            kernels['Mesh'] = kernels.get('Mesh', 0) + time.process_time() - at

    warp.launch, warp.Mesh = timed, Mesh
    profile = cProfile.Profile(time.process_time)
    profile.enable()
    few = max(4, num // 2)
    for index in range(few):
        generator(seed + 1 + index)
    profile.disable()
    stats = pstats.Stats(profile).stats
    total = sum(row[2] for row in stats.values()) / few
    stages = {
        name: sum(row[3] for key, row in stats.items() if key[2] == name and 'synthetic' in key[0]) / few
        for name in STAGES
    }
    stages.update({name: kernels[name] / few for name in STAGES if name in kernels})
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return dict(first=first, seconds=seconds, memory=memory, persons=persons / num, stages=stages, total=total)


def main() -> None:
    parser = tool_parser(__doc__)
    parser.add_argument('--size', nargs='+', default=['768x1024', '192x256'], help='WxH; default: %(default)s')
    parser.add_argument('--people', default='1-4', help='fewest-most; default: %(default)s')
    parser.add_argument('--num', type=int, default=40, help='images to time; default: %(default)s')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    people = tuple(int(n) for n in args.people.split('-'))
    results = {}
    for text in args.size:
        size = tuple(int(n) for n in text.split('x'))
        with ProcessPoolExecutor(1, multiprocessing.get_context('spawn')) as process:
            results[text] = process.submit(measure, size, people, args.num, args.seed).result()
    print('| size (W x H) | images/s per core | CPU s per image | people per image | first image s | peak GiB |')
    print('|---|--:|--:|--:|--:|--:|')
    for text, r in results.items():
        columns = [f'{1 / r["seconds"]:.2f}', f'{r["seconds"]:.3f}', f'{r["persons"]:.2f}', f'{r["first"]:.1f}']
        print(f'| {text} | {" | ".join(columns)} | {r["memory"]:.2f} |')
    print('\nWhere the time goes (share of an image, profiled):\n')
    print('| stage | ' + ' | '.join(results) + ' |')
    print('|---|' + '--:|' * len(results))
    for name, title in STAGES.items():
        cells = [f'{r["stages"][name] / r["total"]:.0%}' for r in results.values()]
        print(f'| {title} | ' + ' | '.join(cells) + ' |')
    rest = [f'{1 - sum(r["stages"].values()) / r["total"]:.0%}' for r in results.values()]
    print('| other | ' + ' | '.join(rest) + ' |')


if __name__ == '__main__':
    main()
