"""Arguments of the command line for single tasks: the camera of pointmaps, the background of mattes."""

import argparse
from collections.abc import Mapping

from .backdrop import find_backdrop
from .results import Saving
from .results.pointmap import RAYS
from .results.saving import CHOICES
from .user_camera import EXIF, UserCamera

__all__ = ['add_background_arguments', 'add_camera_arguments', 'background_of', 'camera_of', 'check_tasks']

# Task that each argument is for.
TASKS = dict.fromkeys(('focal', 'intrinsics', 'rays'), 'pointmap') | dict.fromkeys(
    ('over', 'light', 'colors'), 'matting'
)


def add_camera_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group('camera (pointmap)').add_argument
    text = 'focal length in pixels of the images, if you know it: the points are then those of this camera, in meters; "exif": of'
    add('--focal', metavar='PIXELS', help=f'{text} each file, where it has one; default: the model estimates it')
    text = (
        'instead of --focal: a file with the (3, 3) matrix in pixels of the images (.txt, .npy, .json), or a folder of'
    )
    add('--intrinsics', metavar='FILE', help=f'{text} <name>.txt')
    text = 'predicted points, or "project": each on the ray of its pixel, x and y from z and the camera'
    add('--rays', choices=RAYS, help=f'{text}; default: {RAYS[0]}')


def add_background_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group('background (matting)').add_argument
    text = 'behind people in pictures and videos: a color (white, #20a0ff), "green" of chroma keys, "transparent" (squares),'
    text += f' an image, or a video, which starts again at its end; default: {Saving.over}'
    add('--over', metavar='COLOR_OR_FILE', help=text)
    text = f'mix coded values, as published, or light, so that soft edges are not too dark; default: {Saving.light}'
    add('--light', choices=CHOICES['light'], help=text)
    text = 'colors of people: predicted, as published, or those of the photo, and predicted ones at edges only'
    add('--colors', choices=CHOICES['colors'], help=f'{text}; default: {Saving.colors}')


def camera_of(args: argparse.Namespace) -> dict:
    """Options of :func:`sapiens.apis.load_model` that were given.

    Raises:
        FileNotFoundError, ValueError: a focal length or intrinsics of no camera.
    """
    options = {name: getattr(args, name) for name in ('intrinsics', 'rays') if getattr(args, name) is not None}
    if args.focal is not None:
        try:
            options['focal'] = args.focal if args.focal == EXIF else float(args.focal)
        except ValueError:
            raise ValueError(f'--focal {args.focal}: expected pixels of the images, or {EXIF}') from None
    UserCamera(options.get('focal'), options.get('intrinsics'))
    return options


def background_of(args: argparse.Namespace) -> dict:
    """Fields of :class:`sapiens.apis.results.Saving` that were given.

    Raises:
        BadImage, ValueError: a background that is neither a color nor a file.
    """
    options = {name: getattr(args, name) for name in ('over', 'light', 'colors') if getattr(args, name) is not None}
    if 'over' in options:
        find_backdrop(options['over'])
    return options


def check_tasks(args: argparse.Namespace, tasks: Mapping) -> None:
    """Raise ValueError for an argument of a task that does not run."""
    for name, task in TASKS.items():
        if getattr(args, name) is not None and task not in tasks:
            raise ValueError(f'--{name} is for {task}, the models are for {", ".join(tasks)}')
