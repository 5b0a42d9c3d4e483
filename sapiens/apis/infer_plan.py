"""The plan of a run of ``sapiens infer``, from its arguments."""

import argparse
import dataclasses
from pathlib import Path

from sapiens.checkpoints import resolve_checkpoint
from sapiens.coco import BOX_THRESHOLD
from sapiens.metainfo import get_classes
from sapiens.tasks import task_names
from sapiens.utils.checkpoint import require_checkpoint

from .arguments import background_of, camera_of, check_tasks
from .batch_job import Plan
from .detectors import automatic
from .detectors.base import NMS_THRESHOLD
from .loading.build import read_config
from .loading.load_model import inference_tasks, model_of, weights_of, with_checkpoints
from .masks import Masking
from .output_dir import skeleton_of
from .own_models import DETECTOR, automatic_for
from .predictors.by_task import get_predictor_class
from .predictors.huggingface import PROCESSINGS
from .results import PoseResult, Saving
from .results.by_task import get_inference_task, get_result_class
from .run_record import content_of

__all__ = ['make_plan']


def make_plan(args: argparse.Namespace) -> Plan:
    """Return what the arguments ask for.

    Raises:
        FileNotFoundError, ValueError: a file or model that does not exist, or arguments that contradict each other.
    """
    saving = make_saving(args)
    models, hidden = make_models(args, saving)
    for options in models.values():  # before a detector is fetched
        weights = weights_of(options['model'], options.get('checkpoint'))
        if weights:
            require_checkpoint(resolve_checkpoint(weights))
    detector = None
    if any('detector' in get_predictor_class(task).options for task in models):
        low, overlap = (0.0, 1.0) if args.boxes else (BOX_THRESHOLD, NMS_THRESHOLD)
        detector = dict(
            text=detector_of(args),
            threshold=low if args.box_threshold is None else args.box_threshold,
            nms_threshold=overlap if args.nms_threshold is None else args.nms_threshold,
            if_no_detections=args.if_no_detections,
        )
    elif args.boxes or args.detector != 'auto':
        given = f'--boxes {args.boxes}' if args.boxes else f'--detector {args.detector}'
        raise ValueError(
            f'{given}: --boxes and --detector are for pose, and no model here ({", ".join(models)}) is: leave it out'
        )
    if args.mask_dir and not args.mask_dir.is_dir():
        raise FileNotFoundError(f'--mask-dir {args.mask_dir} is not a folder')
    if args.figure and args.task != 'all':
        raise ValueError(f'--figure shows the results of several models: it is for the task all, not for {args.task}')
    plan = Plan(
        models=models,
        out=args.out,
        saving=saving,
        subfolders=args.task == 'all',
        detector=detector,
        boxes=args.boxes,
        mask_dir=args.mask_dir,
        hidden=hidden,
        masking=make_masking(args, models),
        figure=args.figure,
        workers=args.workers,
        form=args.out_format,
        label_threshold=Saving.threshold if args.label_threshold is None else args.label_threshold,
    )
    return dataclasses.replace(plan, content=content_of(plan))


def detector_of(args: argparse.Namespace) -> str:
    """Text of the detector. The automatic one is chosen here, once for all processes and for the record of the run."""
    if args.boxes:
        return 'whole-image'
    if args.detector == 'auto' and automatic_for(args.model) == 'embedded':
        print(f'people are found by {DETECTOR} of this package')
        return 'embedded'
    return automatic.choose_detector(print) if args.detector == 'auto' else args.detector


def make_saving(args: argparse.Namespace) -> Saving:
    names = {field.name for field in dataclasses.fields(Saving)} - {'over', 'light', 'colors'}
    given = {name: value for name, value in vars(args).items() if name in names} | background_of(args)
    given.update(
        kinds=None if args.save is None else tuple(args.save),
        extra=('heatmaps',) * args.heatmaps + tuple(args.crop),
        depth_limits=tuple(args.depth_limits) if args.depth_limits else None,
    )
    return Saving(**given, distance=args.ply_distance, extent=args.ply_extent)


def make_models(args: argparse.Namespace, saving: Saving) -> tuple[dict[str, dict], tuple[str, ...]]:
    """Return options of ``load_model`` for each task, and the tasks that are only computed for their masks."""
    if args.cfg_options and len(args.model) > 1:
        raise ValueError('--cfg-options is for one model')
    if args.task != 'all' and len(args.model) > 1:
        raise ValueError(f'{args.task} takes one model, found {", ".join(args.model)}; "all" takes several')
    if args.num_keypoints and args.keypoints_as:
        raise ValueError(
            f'--num-keypoints {args.num_keypoints} and --keypoints-as {args.keypoints_as} both name the keypoints to give: '
            'give one of them'
        )
    common = dict(dtype=args.dtype, batch_size=args.batch_size, compile=args.compile)
    if args.processing != PROCESSINGS[0]:  # records of earlier versions do not have it
        common['processing'] = args.processing
    camera = camera_of(args)
    models, named = {}, with_checkpoints(args.model, args.checkpoint)
    # Reading a config imports the module of a task outside the package.
    configs = [read_config(model, args.cfg_options) for model in args.model]
    any_model = args.task != 'all' and get_predictor_class(args.task).any_model
    given = [(args.task,) if any_model else inference_tasks(cfg) for cfg in configs]
    for task in [task for tasks in given for task in tasks]:
        get_result_class(task)  # so that the kinds of files of every task are known
    for tasks, (model, _) in zip(given, named, strict=True):
        if args.task not in (*tasks, 'all'):
            raise ValueError(f'{model} is a model for {" and ".join(map(repr, tasks))}, not for {args.task!r}')
    wanted = [(task, *pair) for tasks, pair in zip(given, named, strict=True) for task in tasks]
    for task, model, checkpoint in wanted:
        if args.task not in (task, 'all'):
            continue
        if task in models:
            raise ValueError(f'two models for {task!r}: {models[task]["model"]} and {model}')
        options = dict(flip_test=args.flip_test, num_keypoints=args.num_keypoints)
        if args.keypoints_as:
            options['keypoints_as'] = args.keypoints_as
        if args.views:
            # The results of one crop are those without the option.
            options['views'] = args.views if args.views > 1 else None
        options.update(box_threshold=args.box_threshold, nms_threshold=args.nms_threshold, tiles=args.tiles)
        options.update(camera)
        options.update((file.needs, True) for file in get_result_class(task).chosen(saving) if file.needs)
        known = get_predictor_class(task).options
        options = {name: value for name, value in options.items() if name in known}
        options.update(common, model=model, checkpoint=checkpoint, task=task, cfg_options=args.cfg_options)
        models[task] = options
        result = get_result_class(task)
        result.paths(Path('x'), saving)  # fails early if there is nothing to write
        if issubclass(result, PoseResult):
            result.check(saving, skeleton_of(options))
    for name in ('num_keypoints', 'keypoints_as', 'views'):
        if getattr(args, name) and not any(name in options for options in models.values()):
            raise ValueError(f'--{name.replace("_", "-")} is for pose')
    if args.tiles is not None and not any('tiles' in options for options in models.values()):
        raise ValueError(
            f'--tiles {args.tiles} is for person, and no model here ({", ".join(models)}) is. A detector for pose takes tiles '
            'in its text, sapiens:<config>,<checkpoint>,<tiles>'
        )
    check_tasks(args, models)
    hidden = ()
    if args.mask_model:
        if not any(get_inference_task(task).masked_by_people for task in models):
            masked = [name for name in task_names(inference=True) if get_inference_task(name).masked_by_people]
            raise ValueError(f'--mask-model is for {" and ".join(masked)}')
        tasks = inference_tasks(read_config(args.mask_model))
        task = next((name for name in tasks if get_inference_task(name).gives_mask), None)
        if task is None:
            known = ' and '.join(map(repr, tasks))
            raise ValueError(f'--mask-model {args.mask_model} is a model for {known}, which gives no masks of people')
        if task in models or args.mask_dir:
            raise ValueError(
                f'--mask-model: masks come from one place; leave out --mask-dir, or the {task} model of --model'
            )
        models[task] = dict(common, model=args.mask_model, checkpoint=args.mask_checkpoint, task=task)
        hidden = (task,)
    return models, hidden


def make_masking(args: argparse.Namespace, models: dict[str, dict]) -> Masking:
    masking = Masking(args.mask_by, tuple(args.mask_classes))
    if args.mask_dir and masking != Masking():
        raise ValueError(
            '--mask-by and --mask-classes take the masks of a model, --mask-dir those of files: leave out one'
        )
    parts = {
        task: model_of(read_config(options['model'], options.get('cfg_options')), task).get('task', {})
        for task, options in models.items()
    }
    classes = {task: get_classes(part.classes) for task, part in parts.items() if part.get('classes')}
    masking.check({task: task for task in models}, classes)
    return masking
