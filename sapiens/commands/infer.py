"""Run models on images and videos: people, keypoints, parts, depth, normals, points.

INPUT is an image, a folder (searched at any depth), a quoted glob pattern, a .txt or .parquet list of paths, tar shards
('photos-{000..127}.tar'), a URL, a video, the number of a camera, or several of these. Results go to --out under the names of
the images, or with --out-format into tables, a COCO file or tar shards. Existing results are skipped, so an interrupted run
continues. Unreadable files are listed at the end and in --out/failures.txt. Exit status: 0 all done, 1 some failed, 2 wrong
arguments.

Examples:
    sapiens infer pose photos --out out    # with the small weights of the package, if this version has them
    sapiens infer pose photos --model sapiens-pose-1b --detector torchvision:fasterrcnn_resnet50_fpn_v2 --out out
    sapiens infer pose photos --model CONFIG --checkpoint FILE --boxes detections.json --out out --csv
    sapiens infer pose dancer.jpg --model sapiens-pose-1b-133 --out out --style openpose    # for ControlNet
    sapiens infer pose photos --model sapiens-pose-1b --num-keypoints 17 --crop face --out out
    sapiens infer pose photos --model sapiens2-pose-1b --keypoints-as openpose25 --out out
    sapiens infer person photos --model CONFIG --checkpoint FILE --out boxes    # then: pose --boxes boxes/people.coco.json
    sapiens infer seg 'photos/*.jpg' --model sapiens-seg-1b --out out --save labels picture cutout
    sapiens infer depth photos --model sapiens-depth-1b --mask-model sapiens-seg-1b --save depth picture ply --out out
    sapiens infer pointmap photos --model sapiens2-pointmap-1b --mask-model sapiens2-seg-1b --save points ply --out out
    sapiens infer pointmap photos --model sapiens2-pointmap-1b --focal 1430 --rays project --out out    # a known camera
    sapiens infer matting photos --model sapiens2-matting-1b --over beach.jpg --light linear --out out
    sapiens infer matting dance.mp4 --model sapiens2-matting-1b --over sea.mp4 --out out    # with the sound of dance.mp4
    sapiens infer albedo photos --model CONFIG --checkpoint FILE --save srgb --out out
    sapiens infer all photos --model sapiens-pose-1b sapiens-seg-1b sapiens-depth-1b sapiens-normal-1b --out out
    sapiens infer all photos --model sapiens2-pose-1b sapiens2-seg-1b sapiens2-normal-1b --mask-by seg --figure --out out
    sapiens infer pose photos --model sapiens-pose-1b --out out --devices 0,1,2,3 --jobs-per-device 2
    sapiens infer pose photos --model sapiens-pose-1b --out labels --out-format coco    # a data set for a student
    sapiens infer seg 'photos-{000..127}.tar' --model sapiens-seg-1b --map-format png --out labels --out-format shards
    sapiens infer pose photos.parquet --model sapiens-pose-1b --out s --out-format parquet --engine ray --address auto
    sapiens infer pose dance.mp4 --model sapiens-pose-1b --out out --track --smooth --side-by-side
    sapiens infer pose 0 --model sapiens-pose-0.3b --out out --max-frames 500    # the first camera
"""

import argparse
import sys
from pathlib import Path

from sapiens.apis.arguments import (
    add_background_arguments,
    add_camera_arguments,
)
from sapiens.apis.batch_job import Plan
from sapiens.apis.batch_run import BatchRun
from sapiens.apis.bulk.arguments import add_bulk_arguments, check_bulk, check_without_bulk, run_bulk
from sapiens.apis.detectors import DETECTORS, BoxesFile
from sapiens.apis.detectors.base import IF_NO_DETECTIONS, NMS_THRESHOLD
from sapiens.apis.infer_plan import make_plan
from sapiens.apis.inputs import Item, find_inputs, is_video
from sapiens.apis.output_dir import check_overwriting, check_places
from sapiens.apis.own_models import own_models
from sapiens.apis.path_lists import PATH_COLUMN
from sapiens.apis.predictors import SKELETONS, VIEWS
from sapiens.apis.predictors.huggingface import PROCESSINGS
from sapiens.apis.results import Saving
from sapiens.apis.results.by_task import get_inference_task, get_result_class
from sapiens.apis.results.saving import CHOICES
from sapiens.apis.run_record import RANDOM, check_settings
from sapiens.apis.video.video_job import VideoOptions
from sapiens.coco import BOX_THRESHOLD
from sapiens.metainfo import skeleton_names
from sapiens.tasks import task_names
from sapiens.utils.cli import add_model_arguments, add_palette_argument, positive, tool_parser
from sapiens.utils.device import DTYPES, pick_device
from sapiens.utils.folder_lock import FolderLock

from . import relight


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = tool_parser(__doc__, first=('--checkpoint', '--detector', '--save', '--device', '--batch-size'))
    tasks = task_names(inference=True)
    text = f'{", ".join(tasks)}, a task that the config registers, or all: the tasks of all models, in one pass'
    parser.add_argument('task', help=text)
    parser.add_argument('input', nargs='+', help='images and videos, see below')
    add_model_arguments(parser, default='the weights of the package for the task')
    text = 'output folder; with "all" it has a folder for each task'
    parser.add_argument('--out', type=Path, required=True, help=text)
    parser.add_argument('--overwrite', action='store_true', help='compute existing results again')

    add = parser.add_argument_group('computing').add_argument
    add('--device', default='auto', help='auto, cpu, cuda, cuda:1, mps; default: %(default)s')
    add('--devices', metavar='0,1,...', help='several devices that share the images; a number is a GPU')
    add('--jobs-per-device', type=positive, default=1, metavar='N', help='processes per device; default: %(default)s')
    add('--batch-size', type=int, default=8, help='people or images computed together; default: %(default)s')
    add('--dtype', choices=list(DTYPES), default='fp32', help='default: %(default)s')
    add('--compile', action='store_true', help='use torch.compile: slow start, then faster')
    flip = argparse.BooleanOptionalAction
    add('--flip-test', action=flip, help='average with the mirrored image; default: as the config says')
    text = 'inputs and results as the published code makes them, or as transformers does; default: %(default)s'
    add('--processing', choices=PROCESSINGS, default=PROCESSINGS[0], help=text)
    add('--workers', type=positive, default=2, help='threads per process that read images; default: %(default)s')
    add('--cfg-options', nargs='+', action='extend', metavar='KEY=VALUE', help='changes of the config')

    add = parser.add_argument_group('people (pose, person)').add_argument
    text = f'for pose: {" | ".join(DETECTORS.values())}; default: %(default)s, the best one that this machine has or can fetch'
    add('--detector', default='auto', help=text)
    add('--boxes', metavar='FILE', help='boxes instead of a detector: COCO detections or a COCO dataset')
    add('--box-threshold', type=float, help=f'minimum score of a box; default: {BOX_THRESHOLD}, with --boxes 0')
    text = (
        f'maximum overlap (IoU) of two boxes; default: {NMS_THRESHOLD}, with --boxes 1, for person as the config says'
    )
    add('--nms-threshold', type=float, help=text)
    text = 'person: also look at N x N overlapping parts of each image, for small people'
    add('--tiles', type=positive, metavar='N', help=text)
    text = 'an image without boxes has no people, or is one person; default: %(default)s'
    add('--if-no-detections', choices=IF_NO_DETECTIONS, default='empty', help=text)
    add('--when-nobody', dest='if_no_detections', choices=IF_NO_DETECTIONS, help=argparse.SUPPRESS)
    text = (
        f'pose: crops of each person, up to {len(VIEWS)}, whose median is taken: better with small models, and slower'
    )
    add('--views', type=positive, choices=range(1, len(VIEWS) + 1), metavar='N', help=text)
    text = 'compute only the keypoints of this skeleton with a larger model'
    add('--num-keypoints', type=keypoint_count, choices=list(SKELETONS), help=text)
    text = f'convert the results to another skeleton: {", ".join(skeleton_names())}, or a .py file (docs/keypoints.md)'
    add('--keypoints-as', metavar='SKELETON', help=text)

    add = parser.add_argument_group('files').add_argument
    kinds = '; '.join(f'{task}: {", ".join(file.kind for file in get_result_class(task).files)}' for task in tasks)
    add('--save', nargs='+', metavar='KIND', help=f'kinds of files. {kinds}; default: all data and images')
    text = 'keypoints: plain, published (nested boxes) or lite (no boxes); default: %(default)s'
    add('--json-layout', choices=CHOICES['json_layout'], default=Saving.json_layout, help=text)
    text = 'write one COCO results file of all people, keypoints.coco.json or people.coco.json; default: on'
    add('--coco', action=argparse.BooleanOptionalAction, default=True, help=text)
    add('--csv', action='store_true', help='write one table of all people, keypoints.csv')
    text = 'format of label maps and masks; default: %(default)s'
    add('--map-format', choices=CHOICES['map_format'], default=Saving.map_format, help=text)
    text = 'frame of normals in .npy: published (x right, y up, z backward) or camera (x right, y down, z forward)'
    add(
        '--normal-frame',
        choices=CHOICES['normal_frame'],
        default=Saving.normal_frame,
        help=f'{text}; default: %(default)s',
    )
    text = 'point clouds: field of view along the longer side in degrees; default: %(default)s'
    add('--fov', type=float, default=Saving.fov, help=text)
    text = 'point clouds from relative depth: distance of the nearest point; default: %(default)s'
    add('--ply-distance', type=float, default=Saving.distance, help=text)
    text = 'point clouds from relative depth: nearest to farthest point; default: %(default)s'
    add('--ply-extent', type=float, default=Saving.extent, help=text)

    add_bulk_arguments(parser)
    add_camera_arguments(parser)
    add_background_arguments(parser)
    masked = [name for name in tasks if get_inference_task(name).masked_by_people]
    add = parser.add_argument_group(f'masks of people (optional, for {", ".join(masked)})').add_argument
    add('--mask-dir', type=Path, metavar='DIR', help='<name>.npy or .png for each image')
    text = 'segmentation or matting model that makes the masks; with "all" its results are used in any case'
    add('--mask-model', metavar='NAME_OR_CONFIG', help=text)
    add('--mask-checkpoint', metavar='FILE', help='its weights')
    text = 'task whose model masks the saved maps too: they are not-a-number outside, and pictures black'
    add('--mask-by', metavar='TASK', help=f'{text}; default: only drawings and point clouds are masked')
    text = 'classes that are people, by name; default: all but the background'
    add('--mask-classes', nargs='+', default=[], metavar='CLASS', help=text)
    text = 'outside the mask in pictures; default: gray, with --mask-by black'
    add('--background', choices=CHOICES['background'], help=text)

    add = parser.add_argument_group('drawing').add_argument
    text = 'with "all": also write the image and all results side by side, to the folder "figure"'
    add('--figure', action='store_true', help=text)
    add(
        '--picture-format',
        choices=CHOICES['picture_format'],
        default=Saving.picture_format,
        help='default: %(default)s',
    )
    text = 'people over the image, or OpenPose skeletons on black; default: %(default)s'
    add('--style', choices=CHOICES['style'], default=Saving.style, help=text)
    add(
        '--threshold',
        type=float,
        default=Saving.threshold,
        help='minimum score of a drawn keypoint; default: %(default)s',
    )
    add('--radius', type=float, help='radius of keypoints in pixels; default: from the size of the person')
    add('--thickness', type=int, help='thickness of links in pixels, 0 for none; default: from the size of the person')
    add('--show-boxes', action='store_true', help='draw the boxes of people')
    add('--show-indices', action='store_true', help='write the indices of keypoints')
    add('--heatmaps', action='store_true', help='also write an image of the heatmaps')
    add('--crop', nargs='+', choices=['face', 'hand'], default=[], help='also write enlarged images of these parts')
    add_palette_argument(add)
    text = 'write below each image what the colors mean, not in videos; default: on'
    add('--legend', action=argparse.BooleanOptionalAction, default=Saving.legend, help=text)
    add(
        '--opacity',
        type=float,
        default=Saving.opacity,
        help='opacity of class and feature colors; default: %(default)s',
    )
    text = 'depths drawn brightest and black, for comparable images; default: the range of each image'
    add('--depth-limits', nargs=2, type=float, metavar=('NEAR', 'FAR'), help=text)

    add = parser.add_argument_group('videos (.mp4 with the sound of the input; needs: pip install av)').add_argument
    add('--track', action='store_true', help='give each person one id throughout the video')
    text = 'smooth keypoints of tracked people (1 euro filter), one focal length for all pointmaps, mattes averaged over time'
    add('--smooth', action='store_true', help=text)
    add('--side-by-side', action='store_true', help='show the input frame beside the drawn one')
    add('--max-frames', type=positive, metavar='N', help='maximum number of frames; a camera has no end')
    return parser.parse_args(argv)


def keypoint_count(text: str) -> int:
    """The ``type`` of --num-keypoints."""
    if text in skeleton_names():
        raise argparse.ArgumentTypeError(f'{text} is the name of a skeleton: --keypoints-as {text}')
    return positive(text)


def parse_devices(args: argparse.Namespace) -> list[str]:
    if args.devices is None:
        return [args.device]
    if args.device != 'auto':
        raise ValueError('--device and --devices: give only one of them')
    names = [name.strip() for name in args.devices.split(',')]
    names = [f'cuda:{name}' if name.isdigit() else name for name in names]
    for name in names:
        pick_device(name)  # fails early
    return names


def check_arguments(args: argparse.Namespace, plan: Plan, items: list[Item], videos: list[Item]) -> None:
    """Refuse arguments that contradict the inputs or each other."""
    for name, other in (('boxes', '--detector'), ('mask_dir', '--mask-model')):
        if videos and getattr(args, name):
            option = f'--{name.replace("_", "-")}'
            raise ValueError(f'{option} is for images: give {other} for videos such as {videos[0].source}')
    check_places([*items, *videos], args.input, args.out)
    check_overwriting(plan, items, args.input)


def warn_of_random_weights(plan: Plan) -> None:
    for name in [name for name, text in plan.content.items() if text == RANDOM]:
        print(f'the {name} are random: no --checkpoint was given', file=sys.stderr)


def choose_own_models(args: argparse.Namespace) -> None:
    """Without --model take the weights of the package, and say so in one line."""
    if args.model:
        return
    if args.checkpoint:
        raise ValueError(f'--checkpoint {args.checkpoint[0]}: give the config of the weights with --model')
    args.model = own_models(args.task)
    print(f'no --model: {", ".join(args.model)} of this package')


def label_units(args: argparse.Namespace) -> int:
    """Write tables, a COCO file or tar shards. Returns the number of failures."""
    check_bulk(args)
    plan, devices = make_plan(args), parse_devices(args)
    if not args.overwrite:
        check_settings(plan)
    warn_of_random_weights(plan)
    return run_bulk(args, plan, devices)


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ['relight']:  # takes several models and gives one picture
        return relight.main(argv[1:])
    args = parse_args(argv)
    choose_own_models(args)
    if args.out_format != 'files':
        return int(label_units(args) > 0)
    check_without_bulk(args)
    found = find_inputs(args.input, args.column or PATH_COLUMN)
    items = [item for item in found if not is_video(item.source)]
    videos = [item for item in found if is_video(item.source)]
    plan, devices = make_plan(args), parse_devices(args)
    options = VideoOptions(args.track, args.smooth, side_by_side=args.side_by_side, max_frames=args.max_frames)
    check_arguments(args, plan, items, videos)
    if not args.overwrite:
        check_settings(plan, options if videos else None)
    if args.boxes:
        print(BoxesFile(args.boxes).check(items))
    warn_of_random_weights(plan)
    job = BatchRun(plan, devices, args.jobs_per_device, args.overwrite, args.coco, args.csv)
    with FolderLock(args.out, 'wait for that run, or choose another --out'):
        return int(job.write_results(items, videos, options) > 0)
