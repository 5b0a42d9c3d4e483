"""Run models on images and videos: keypoints, body parts, depth, normals, features.

INPUT is an image, a folder (searched at any depth), a quoted glob pattern, a .txt list of paths, a URL, a video, the number of a
camera, or several of these. Results go to --out under the names of the images. Existing results are skipped, so an interrupted
run continues. Unreadable files are listed at the end and in --out/failures.txt. Exit status: 0 all done, 1 some failed,
2 wrong arguments.

Examples:
    sapiens infer pose photos --model sapiens-pose-1b --detector torchvision:fasterrcnn_resnet50_fpn_v2 --out out
    sapiens infer pose photos --model CONFIG --checkpoint FILE --boxes detections.json --out out --csv
    sapiens infer pose dancer.jpg --model sapiens-pose-1b-133 --out out --style openpose    # for ControlNet
    sapiens infer pose photos --model sapiens-pose-1b --num-keypoints 17 --crop face --out out
    sapiens infer seg 'photos/*.jpg' --model sapiens-seg-1b --out out --save labels picture cutout
    sapiens infer depth photos --model sapiens-depth-1b --mask-model sapiens-seg-1b --save depth picture ply --out out
    sapiens infer all photos --model sapiens-pose-1b sapiens-seg-1b sapiens-depth-1b sapiens-normal-1b --out out
    sapiens infer pose photos --model sapiens-pose-1b --out out --devices 0,1,2,3 --jobs-per-device 2
    sapiens infer pose dance.mp4 --model sapiens-pose-1b --out out --track --smooth --side-by-side
    sapiens infer pose 0 --model sapiens-pose-0.3b --out out --max-frames 500    # the first camera
"""

import argparse
import dataclasses
import sys
from pathlib import Path

from tqdm import tqdm

from sapiens.apis.batch_job import Outcome, Plan, run_plan
from sapiens.apis.detectors import DETECTORS
from sapiens.apis.detectors.base import IF_NO_DETECTIONS
from sapiens.apis.inputs import Item, find_inputs, is_video
from sapiens.apis.loading.build import read_config
from sapiens.apis.loading.load_model import DTYPES, inference_task, with_checkpoints
from sapiens.apis.output_dir import check_places, check_settings, write_combined, write_settings
from sapiens.apis.predictors import SKELETONS
from sapiens.apis.results import Saving
from sapiens.apis.results.by_task import get_result_class
from sapiens.apis.results.saving import CHOICES
from sapiens.apis.video.video_job import VideoOptions, run_videos, video_files
from sapiens.metainfo import get_skeleton
from sapiens.tasks import task_names
from sapiens.utils.cli import add_model_arguments, tool_parser
from sapiens.utils.device import pick_device


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument(
        'task',
        help=f'{", ".join(task_names(inference=True))}, a task of a plug-in, or '
        '"all": every task that --model has a model for, in one pass',
    )
    parser.add_argument('input', nargs='+', help='images, see above')
    add_model_arguments(parser)
    parser.add_argument(
        '--out', type=Path, required=True, help='folder to write to; with "all" a folder for each task in it'
    )
    parser.add_argument('--overwrite', action='store_true', help='compute again what is there')

    group = parser.add_argument_group('computing')
    group.add_argument('--device', default='auto', help='auto, cpu, cuda, cuda:1, mps; default: %(default)s')
    group.add_argument('--devices', metavar='0,1,...', help='several devices that share the images; a number is a GPU')
    group.add_argument('--jobs-per-device', type=int, default=1, metavar='N', help='processes on each device')
    group.add_argument(
        '--batch-size', type=int, default=8, help='people or images computed together; default: %(default)s'
    )
    group.add_argument('--dtype', choices=list(DTYPES), default='fp32', help='default: %(default)s')
    group.add_argument('--compile', action='store_true', help='with torch.compile: minutes at first, faster then')
    group.add_argument(
        '--flip-test',
        action=argparse.BooleanOptionalAction,
        help='average with the mirrored image; default: as the config says',
    )
    group.add_argument(
        '--workers', type=int, default=2, help='threads that read images, of each process; default: %(default)s'
    )
    group.add_argument(
        '--cfg-options', nargs='+', action='extend', metavar='KEY=VALUE', help='change values of the one config'
    )

    group = parser.add_argument_group('people (pose)')
    group.add_argument(
        '--detector', default='whole-image', help=f'{" | ".join(DETECTORS.values())}; default: %(default)s'
    )
    group.add_argument(
        '--boxes', metavar='FILE', help='boxes in place of a detector: COCO detections, or a COCO data set'
    )
    group.add_argument('--box-threshold', type=float, help='least score of a box; default: 0.3, with --boxes 0')
    group.add_argument(
        '--nms-threshold',
        type=float,
        help='overlap (IoU) above which the worse of two boxes goes; default: 0.3, with --boxes 1: none',
    )
    group.add_argument(
        '--if-no-detections',
        choices=IF_NO_DETECTIONS,
        default='empty',
        help='an image without boxes has no people, or is one person; default: %(default)s',
    )
    group.add_argument('--when-nobody', dest='if_no_detections', choices=IF_NO_DETECTIONS, help=argparse.SUPPRESS)
    group.add_argument('--num-keypoints', type=int, choices=list(SKELETONS), help='so many of a model that has more')

    group = parser.add_argument_group('files')
    kinds = '; '.join(
        f'{task}: {", ".join(file.kind for file in get_result_class(task).files)}'
        for task in task_names(inference=True)
    )
    group.add_argument(
        '--save', nargs='+', metavar='KIND', help=f'what to write. {kinds}; default: all data, and pictures'
    )
    group.add_argument(
        '--json-layout',
        choices=CHOICES['json_layout'],
        default='plain',
        help='of keypoints: plain, published (boxes nested twice), or lite (no boxes); default: %(default)s',
    )
    group.add_argument(
        '--coco',
        action=argparse.BooleanOptionalAction,
        default=True,
        help='one COCO results file of all people, keypoints.coco.json; default: on',
    )
    group.add_argument('--csv', action='store_true', help='one table of all people, keypoints.csv')
    group.add_argument(
        '--map-format', choices=['npy', 'png'], default='npy', help='of label maps and masks; default: %(default)s'
    )
    group.add_argument(
        '--normal-frame',
        choices=CHOICES['normal_frame'],
        default='published',
        help='of .npy normals: x right, y up, z to the camera, or camera: x right, y down, z forward; default: %(default)s',
    )
    group.add_argument(
        '--fov', type=float, default=50, help='of point clouds: degrees along the longer side; default: %(default)s'
    )
    group.add_argument(
        '--ply-distance',
        type=float,
        default=2,
        help='of point clouds from relative depth: of the nearest point; default: %(default)s',
    )
    group.add_argument(
        '--ply-extent',
        type=float,
        default=0.5,
        help='of point clouds from relative depth: from the nearest to the farthest point; default: %(default)s',
    )

    group = parser.add_argument_group('masks of people (depth and normals; never required)')
    group.add_argument('--mask-dir', type=Path, metavar='DIR', help='<name>.npy or .png for each image')
    group.add_argument(
        '--mask-model',
        metavar='NAME_OR_CONFIG',
        help='a segmentation model that makes them; with "all" its results are used anyway',
    )
    group.add_argument('--mask-checkpoint', metavar='FILE', help='its weights')

    group = parser.add_argument_group('pictures')
    group.add_argument('--picture-format', choices=['jpg', 'png'], default='jpg', help='default: %(default)s')
    group.add_argument(
        '--style',
        choices=CHOICES['style'],
        default='default',
        help='of people: over the image, or OpenPose sticks on black',
    )
    group.add_argument(
        '--threshold', type=float, default=0.3, help='least score of a keypoint that is drawn; default: %(default)s'
    )
    group.add_argument('--radius', type=float, help='of a keypoint in pixels; default: by the size of the person')
    group.add_argument('--thickness', type=int, help='of a link in pixels; default: by the size of the person')
    group.add_argument('--show-boxes', action='store_true', help='draw the boxes of people')
    group.add_argument('--show-indices', action='store_true', help='write the ids of keypoints')
    group.add_argument('--heatmaps', action='store_true', help='a picture of the heatmaps too')
    group.add_argument(
        '--crop', nargs='+', choices=['face', 'hand'], default=[], help='a picture of these parts too, enlarged'
    )
    group.add_argument('--opacity', type=float, default=0.5, help="of the classes' colours; default: %(default)s")
    group.add_argument(
        '--depth-limits',
        nargs=2,
        type=float,
        metavar=('NEAR', 'FAR'),
        help='brightest and darkest depth, so that pictures can be compared',
    )

    group = parser.add_argument_group('videos (an .mp4 with the sound kept; needs: pip install av)')
    group.add_argument('--track', action='store_true', help='number people through the video')
    group.add_argument('--smooth', action='store_true', help='and smooth their keypoints in time (one-euro filter)')
    group.add_argument('--side-by-side', action='store_true', help='the frame beside its picture')
    group.add_argument('--max-frames', type=int, metavar='N', help='end after N frames; a camera has no end')
    args = parser.parse_args(argv)
    args.skeleton = None
    return args


def saving_of(args: argparse.Namespace) -> Saving:
    kinds = None if args.save is None else tuple(args.save)
    extra = ('heatmaps',) * args.heatmaps + tuple(args.crop)
    names = {field.name for field in dataclasses.fields(Saving)}
    given = {name: value for name, value in vars(args).items() if name in names}
    limits = tuple(args.depth_limits) if args.depth_limits else None
    return Saving(
        **{**given, 'kinds': kinds, 'extra': extra, 'depth_limits': limits},
        distance=args.ply_distance,
        extent=args.ply_extent,
    )


def models_of(args: argparse.Namespace, saving: Saving) -> tuple[dict[str, dict], tuple[str, ...]]:
    """Options of ``load_model`` for each task, and the tasks that are computed for their masks only."""
    if args.cfg_options and len(args.model) > 1:
        raise ValueError('--cfg-options is for one model; several have options of their own')
    if args.task != 'all' and len(args.model) > 1:
        raise ValueError(f'{args.task} takes one model, found {", ".join(args.model)}; "all" takes several')
    common = dict(dtype=args.dtype, batch_size=args.batch_size, compile=args.compile)
    models, hidden = {}, ()
    for model, checkpoint in with_checkpoints(args.model, args.checkpoint):
        cfg = read_config(model, args.cfg_options)
        task = 'features' if args.task == 'features' else inference_task(cfg)
        if args.task not in (task, 'all'):
            raise ValueError(f'{model} is a model for {task!r}, not for {args.task!r}')
        if task in models:
            raise ValueError(f'two models for {task!r}: {models[task]["model"]} and {model}')
        models[task] = dict(common, model=model, checkpoint=checkpoint, task=task, cfg_options=args.cfg_options)
        if task != 'features':
            models[task]['flip_test'] = args.flip_test
        if task == 'pose':
            needs = {file.needs: True for file in get_result_class(task).chosen(saving) if file.needs}
            models[task].update(num_keypoints=args.num_keypoints, **needs)
            args.skeleton = get_skeleton(SKELETONS[args.num_keypoints] if args.num_keypoints else cfg.model.skeleton)
    if args.num_keypoints and 'pose' not in models:
        raise ValueError('--num-keypoints is for pose')
    if args.mask_model:
        if not {'depth', 'normal'} & set(models):
            raise ValueError('--mask-model is for depth and normal')
        if 'seg' in models or args.mask_dir:
            raise ValueError(
                '--mask-model: masks come from one place; leave out --mask-dir, or the seg model of --model'
            )
        models['seg'] = dict(common, model=args.mask_model, checkpoint=args.mask_checkpoint, task='seg')
        hidden = ('seg',)
    for task in models:
        if task not in hidden:
            get_result_class(task).paths(Path('x'), saving)  # nothing to write is an error now
    return models, hidden


def make_plan(args: argparse.Namespace) -> Plan:
    saving = saving_of(args)
    models, hidden = models_of(args, saving)
    detector = None
    if 'pose' in models:
        detector = dict(
            text='whole-image' if args.boxes else args.detector,
            threshold=0.0 if args.boxes and args.box_threshold is None else args.box_threshold,
            nms_threshold=1.0 if args.boxes and args.nms_threshold is None else args.nms_threshold,
            if_no_detections=args.if_no_detections,
        )
    elif args.boxes or args.detector != 'whole-image':
        raise ValueError('--boxes and --detector are for pose')
    if args.mask_dir and not args.mask_dir.is_dir():
        raise FileNotFoundError(f'--mask-dir {args.mask_dir} is no folder')
    return Plan(
        models=models,
        out=args.out,
        saving=saving,
        subfolders=args.task == 'all',
        detector=detector,
        boxes=args.boxes,
        mask_dir=args.mask_dir,
        hidden=hidden,
        workers=args.workers,
    )


def devices_of(args: argparse.Namespace) -> list[str]:
    if args.jobs_per_device < 1:
        raise ValueError(f'--jobs-per-device {args.jobs_per_device}: expected 1 or more')
    if args.devices is None:
        return [args.device]
    if args.device != 'auto':
        raise ValueError('--device and --devices: give one of them')
    names = [f'cuda:{name}' if name.strip().isdigit() else name.strip() for name in args.devices.split(',')]
    for name in names:
        pick_device(name)  # a wrong one fails now
    return names


def infer_videos(
    args: argparse.Namespace, plan: Plan, videos: list[Item], options: VideoOptions, device: str
) -> list[Outcome]:
    """Work on the videos that are not done, on one device, and return what became of them."""
    files = {
        item: [path for paths in video_files(plan, item.name).values() for path in paths.values()] for item in videos
    }
    if videos and not all(files.values()):
        raise ValueError('of videos there are pictures, and json of pose: --save names neither')
    todo = [item for item in videos if args.overwrite or not all(path.exists() for path in files[item])]
    if videos:
        print(f'{len(videos)} videos, {len(videos) - len(todo)} of them done already')
    if not todo:
        return []
    outcomes = []
    for outcome in run_videos(
        plan, todo, device, options, lambda frames, count: tqdm(frames, total=count or None, unit='frame')
    ):
        outcomes.append(outcome)
        if not outcome.error:
            write_settings(plan, options)
    return outcomes


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    failures = args.out / 'failures.txt'
    found = find_inputs(args.input)
    items = [item for item in found if not is_video(item.source)]
    videos = [item for item in found if is_video(item.source)]
    plan, devices = make_plan(args), devices_of(args)
    options = VideoOptions(args.track, args.smooth, side_by_side=args.side_by_side, max_frames=args.max_frames)
    check_places(found, args.input, args.out)
    if not args.overwrite:
        check_settings(plan, options if videos else None)
    args.out.mkdir(parents=True, exist_ok=True)
    todo = items if args.overwrite else [item for item in items if not plan.is_done(item.name)]
    if items:
        print(f'{len(items)} images, {len(items) - len(todo)} of them done already')
    failed, first = [], True
    outcomes = run_plan(plan, todo, devices, args.jobs_per_device)
    with tqdm(outcomes, total=len(todo), unit='img', smoothing=0.1) as bar:
        for outcome in bar:
            if outcome.error:
                failed.append(outcome)
                bar.set_postfix(failed=len(failed))
            elif first:
                write_settings(plan)
                first = False
    images = len(todo) - len(failed)
    outcomes = infer_videos(args, plan, videos, options, devices[0])
    failed += [outcome for outcome in outcomes if outcome.error]
    combined = write_combined(plan, items, args.coco, args.csv, args.skeleton)
    failed.sort(key=lambda outcome: outcome.item.source)
    failures.unlink(missing_ok=True)
    if failed:
        failures.write_text(''.join(f'{outcome.item.source}\t{outcome.error}\n' for outcome in failed))
    for outcome in failed:
        print(f'failed {outcome.item.source}: {outcome.error}', file=sys.stderr)
    written = f'{images} images' + (f' and {sum(not outcome.error for outcome in outcomes)} videos' if videos else '')
    print(f'wrote results of {written} to {args.out}; {len(failed)} failed')
    for text in combined:
        print(text)
    return int(bool(failed))
