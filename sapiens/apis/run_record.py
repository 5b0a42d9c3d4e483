"""The record of the settings that the results in a folder were made with."""

import dataclasses
import json
import os
import re
import tempfile
from pathlib import Path

from sapiens.checkpoints import resolve_checkpoint
from sapiens.utils.config_keys import flatten
from sapiens.utils.files import write_atomically

from .batch_job import Plan
from .fingerprint import fingerprint, fingerprint_of_config
from .loading.build import read_config
from .loading.load_model import weights_of
from .own_models import DETECTOR, PARTS
from .results import Saving
from .results.saving import default_background
from .video.video_job import VideoOptions

__all__ = ['RECORD', 'check_settings', 'content_of', 'read_record', 'write_settings']

RECORD = '.run.json'
# Types of its entries.
TYPES = dict(
    models=dict, saving=dict, detector=dict | None, boxes=str | None, mask_dir=str | None, mask_by=str | None,
    mask_classes=list | None, content=dict, video=dict, since=int, form=str, label_threshold=float,
)  # fmt: skip
RANDOM = 'random'  # in the place of the fingerprint of weights
# Files of a model, and the settings that name them.
NAMED_BY = dict(config=('model', 'cfg_options'), weights=('model', 'checkpoint'))
# How earlier versions drew, where their records do not tell.
FORMER = dict(palette='published', legend=False)
# Options of models that do not change results.
NEUTRAL = ('batch_size', 'compile', 'heatmaps')


def content_of(plan: Plan) -> dict[str, str]:
    """Return texts that change with the content of the files that decide the results: weights, configs, boxes.

    Raises:
        FileNotFoundError, ValueError: a model or file does not exist.
    """
    content = {}
    for task, options in plan.models.items():
        weights = weights_of(options['model'], options.get('checkpoint'))
        content[f'config of {task}'] = fingerprint_of_config(read_config(options['model'], options.get('cfg_options')))
        path = resolve_checkpoint(weights) if weights else None
        # Loading explains the error of a file that does not exist.
        content[f'weights of {task}'] = RANDOM if path is None else fingerprint(path) if path.exists() else ''
    if (plan.detector or {}).get('text') == 'embedded':
        # Its text names no files, and another version of the package has other weights.
        places = {name: resolve_checkpoint(name) for name in (DETECTOR, PARTS)}
        content.update({f'weights of {name}': fingerprint(path) for name, path in places.items() if path.exists()})
    files = [plan.boxes] if plan.boxes else re.split('[:,]', (plan.detector or {}).get('text', ''))
    cameras = [options.get('intrinsics') for options in plan.models.values()]
    files += [plan.saving.over, *(str(camera) for camera in cameras if camera)]
    for file in map(os.path.expanduser, files):
        if os.path.isfile(file):
            content[file] = fingerprint(file)
    return content


def check_settings(plan: Plan, video: VideoOptions | None = None) -> None:
    """Check that results in the folder were made with the same settings and the same files.

    Args:
        video: options of videos, if there are any.

    Raises:
        ValueError: they were made with others, or it cannot be known.
    """
    before, settings = read_record(plan.out), _settings(plan, video)
    if before is None:
        return
    if 'when_nobody' in (before.get('detector') or {}):  # the former name
        before['detector']['if_no_detections'] = before['detector'].pop('when_nobody')
    for key in ('video', 'content'):
        if key not in before:
            settings.pop(key, None)  # no videos were processed yet; versions before did not record the content
    if 'saving' in before:  # options that earlier versions did not have
        before['saving'] = {**_deciding(Saving(), cut_out=False), **FORMER, **before['saving']}
    for one in (before, settings):
        one.setdefault('form', 'files')
    content, given = before.pop('content', {}), settings.pop('content', {})
    # The settings of one thing (a model, the detector) are a dict: name what differs in it.
    old, new = (flatten({key: values.get(key) for key in settings}) for values in (before, settings))
    changed = {key: (old.get(key), new.get(key)) for key in {**old, **new} if old.get(key) != new.get(key)}
    if 'mask_by' in changed and plan.saving.background is None:
        changed.pop('saving.background', None)  # its default follows
    details = _changes(changed) + _changes_of_files(changed, content, given)
    if details:
        raise ValueError(
            f'{plan.out} holds results of other settings: choose another --out, or --overwrite ({"; ".join(details)})'
        )


def _changes(changed: dict[str, tuple]) -> list[str]:
    """Describe settings that changed, by dotted key: the same change of several tasks once."""
    keys: dict[tuple, list[str]] = {}
    for key, (old, new) in changed.items():
        part, _, rest = key.partition('.')
        task, _, name = rest.partition('.')
        place = ('models.', task, f'.{name}') if part == 'models' and name else ('', key, '')
        keys.setdefault((place[0], place[2], str(old), str(new)), []).append(place[1])
    return [
        f'{before}{"/".join(names)}{after} was {old}, is {new}' for (before, after, old, new), names in keys.items()
    ]


def _changes_of_files(changed: dict[str, tuple], before: dict[str, str], now: dict[str, str]) -> list[str]:
    """Describe files whose content changed, those of several tasks once, without those that a changed setting names."""
    lines: dict[tuple[str, str], list[str]] = {}
    for key, text in now.items():
        kind, task = key.split(' of ', 1) if key.startswith(tuple(f'{kind} of ' for kind in NAMED_BY)) else ('', key)
        is_random = text == RANDOM == before.get(key)
        is_named = any(f'models.{task}.{name}' in changed for name in NAMED_BY.get(kind, ()))
        if is_random or (before.get(key, text) != text and not is_named):
            reason = 'they are random, new in each run' if is_random else 'its content has changed'
            lines.setdefault((kind or key, reason), []).append(task)
    return [
        f'{what} of {"/".join(tasks)}: {reason}' if what in NAMED_BY else f'{what}: {reason}'
        for (what, reason), tasks in lines.items()
    ]


def read_record(out: Path) -> dict | None:
    """Read the settings of the results in a folder; None where there are none.

    Raises:
        ValueError: the file is damaged.
    """
    path = out / RECORD
    if not os.path.lexists(path):
        return None
    try:
        record = json.loads(path.read_bytes())
        if not isinstance(record, dict):
            raise TypeError(f'it holds a {type(record).__name__}')
        for key, kind in TYPES.items():
            if key in record and not isinstance(record[key], kind):
                raise TypeError(f'{key} is {str(record[key])[:40]}')
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ValueError(
            f'{path}, the settings of the results in this folder, is damaged ({" ".join(str(error).split())[:200]}): '
            'choose another --out, or --overwrite'
        ) from error
    return record


def write_settings(plan: Plan, video: VideoOptions | None = None, overwrite: bool = False) -> int:
    """Record the settings of the results in the folder.

    Args:
        video: options of videos, if there are any.
        overwrite: replace the record of other settings or a damaged one. Results that are older do not count any more.

    Returns:
        The time in nanoseconds since when results have these settings.

    Raises:
        ValueError: see :func:`check_settings`, without ``overwrite``.
    """
    path, settings = plan.out / RECORD, _settings(plan, video)
    try:
        check_settings(plan, video)
        before = read_record(plan.out) or {}
    except ValueError:
        if not overwrite:
            raise
        before = {}
        settings['since'] = _now(plan.out)
    else:
        settings.update({key: before[key] for key in ('video', 'since') if key in before and key not in settings})
    if settings.get('since', 0) > 0:
        settings['since'] = min(settings['since'], _now(plan.out))  # a clock that was set back would void all results
    if settings != before:
        write_atomically(path, json.dumps(settings, indent=2) + '\n')
    return settings.get('since', 0)


def _now(folder: Path) -> int:
    """The time by the clock of the file system."""
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        return os.fstat(file.fileno()).st_mtime_ns


def _settings(plan: Plan, video: VideoOptions | None) -> dict:
    """Return the settings that decide the content of files, in plain values."""
    models = {
        task: {key: value for key, value in options.items() if key not in NEUTRAL}
        for task, options in plan.models.items()
    }
    mask_dir = plan.mask_dir and str(plan.mask_dir)
    saving = _deciding(plan.saving, cut_out=plan.masking.by is not None)
    settings = dict(models=models, saving=saving, detector=plan.detector, boxes=plan.boxes, mask_dir=mask_dir)
    settings.update(mask_by=plan.masking.by, mask_classes=list(plan.masking.classes) or None)
    settings['content'] = plan.content
    if plan.form != 'files':
        settings['form'] = plan.form
    if plan.writes_people:
        settings['label_threshold'] = plan.label_threshold
    if video is not None:
        settings['video'] = dataclasses.asdict(video)
    return json.loads(json.dumps(settings))  # tuples become lists, as in the file


def _deciding(saving: Saving, cut_out: bool) -> dict:
    """Return the options of saving that decide the content of files."""
    found = {key: value for key, value in dataclasses.asdict(saving).items() if key not in ('kinds', 'extra')}
    return dict(found, background=saving.background or default_background(cut_out))
