"""Serve a local web page: drop an image, choose task and model, download the result.

Needs gradio: pip install 'sapiens[demo]'. Without --model the page offers every published model on this machine. A model is
loaded at its first use. Images stay on this machine and are deleted after an hour, and when the page ends.

Examples:
    sapiens demo
    sapiens demo --model sapiens-pose-1b sapiens-seg-1b --device cuda:1 --dtype bf16
    sapiens demo --model CONFIG --checkpoint FILE --detector torchvision:fasterrcnn_resnet50_fpn_v2
    sapiens demo --host 0.0.0.0 --port 8000    # for other machines too: whoever reaches it can use it
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import OrderedDict
from pathlib import Path

import cv2

from sapiens.apis.detectors import DETECTORS, build_detector
from sapiens.apis.inputs import read_pixels
from sapiens.apis.loading.build import read_config
from sapiens.apis.loading.load_model import (
    inference_tasks,
    is_config,
    load_model,
    with_checkpoints,
)
from sapiens.apis.predictors import Pipeline, Predictor
from sapiens.apis.predictors.by_task import get_predictor_class
from sapiens.apis.relight import Light, relight_results
from sapiens.apis.results import ImageResults, Result, Saving
from sapiens.apis.results.by_task import get_result_class
from sapiens.apis.writers.files import write_file
from sapiens.checkpoints import ZOO, find, is_huggingface_folder, resolve_checkpoint
from sapiens.datasets.transforms import BadImage
from sapiens.tasks import task_names
from sapiens.utils.cli import add_model_arguments, tool_parser
from sapiens.utils.device import DTYPES
from sapiens.utils.optional import require
from sapiens.visualization.people import STYLES

KEPT = 3600  # seconds until images and results are deleted
LOADED = 2  # models in memory, or one of each task; the least recently used one is dropped first
ALL = 'all'  # the first model of each task, side by side
RELIGHT = 'relight'  # the first models of albedo and normals, and what cuts people out


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = tool_parser(__doc__, first=('--model', '--checkpoint', '--detector', '--device', '--port'))
    add_model_arguments(parser, default='what is on this machine')
    add = parser.add_argument
    text = f'detectors to offer for pose, in addition to the built-in ones: {", ".join(DETECTORS.values())}'
    add('--detector', nargs='+', default=[], help=text)
    add('--device', default='auto', help='auto, cpu, cuda, cuda:1, mps; default: %(default)s')
    add('--dtype', choices=list(DTYPES), default='fp32', help='default: %(default)s')
    add('--host', default='127.0.0.1', help='address to listen on; default: this machine only')
    add('--port', type=int, help='default: the first free port from 7860')
    add('--open', action='store_true', help='open the page in the browser')
    return parser.parse_args(argv)


class Demo:
    """Functions of the page, without its layout.

    Args:
        models: names of published models or configs, each with its checkpoint or None.
        detectors: additional detectors for pose.
        device, dtype: see :func:`sapiens.apis.load_model`.

    Attributes:
        choices: options of ``load_model`` by task and label of the model. Where there are models of several tasks, ``'all'`` has
            one label and the first model of each of them. Where there are models of albedo and normals, ``'relight'`` has one
            label too.

    Raises:
        FileNotFoundError, ValueError: a model does not exist, or there is none.
    """

    def __init__(
        self,
        models: list[tuple[str, str | None]],
        detectors: list[str] | None = None,
        device: str = 'auto',
        dtype: str = 'fp32',
    ) -> None:
        if not models:
            raise ValueError(
                'no published model is on this machine: fetch one with `sapiens download sapiens-pose-0.3b`, or '
                'give --model CONFIG --checkpoint FILE'
            )
        choices: dict[str, dict[str, dict]] = {}
        for model, checkpoint in models:
            options = dict(model=model, checkpoint=checkpoint)
            tasks, label = inference_tasks(read_config(model)), _label(model, checkpoint)
            for kind in (name for name in names() if name in tasks or get_predictor_class(name).any_model):
                if label in choices.setdefault(kind, {}):
                    raise ValueError(f'--model has {label} twice: give each model once')
                choices[kind][label] = dict(options, task=kind)
        self.choices = {task: choices[task] for task in names() if task in choices}
        self.together = [task for task in self.choices if not get_predictor_class(task).any_model]
        if len(self.together) > 1:
            self.choices[ALL] = {' + '.join(self.together): {}}
        if {'albedo', 'normal'} <= set(self.together):
            self.choices[RELIGHT] = {' + '.join(self._tasks(RELIGHT)): {}}
        free = ['auto', 'whole-image'] + (['embedded'] if hasattr(cv2, 'HOGDescriptor') else [])
        self.detectors = list(dict.fromkeys([*free, *(detectors or ())]))
        self.options = dict(device=device, dtype=dtype)
        self.lock = threading.Lock()
        self.predictors: OrderedDict[tuple[str, str], Predictor] = OrderedDict()
        self.finders: dict[str, object] = {}

    def labels(self, task: str) -> list[str]:
        """Return the labels of the models of a task."""
        return list(self.choices[task])

    def predict(self, image: str | Path, task: str, label: str, detector: str = 'auto') -> Result | ImageResults:
        """Predict an image, with several tasks if ``task`` is ``'all'`` or ``'relight'``: it is read once, and people are found
        once.

        Raises:
            BadImage: the image cannot be read.
            FileNotFoundError, ValueError, ImportError: the model or the detector cannot be used.
        """
        if label not in self.choices.get(task, ()):
            raise ValueError(f'no model {label!r} for {task!r}: choose one of {", ".join(self.choices.get(task, ()))}')
        wants_detector = self.takes_detector(task)
        if wants_detector and detector not in self.detectors:
            raise ValueError(f'no detector {detector!r}: choose one of {", ".join(self.detectors)}')
        pixels = read_pixels(image)
        with self.lock:
            models = [self._predictor(names, one) for one, names in self._by_label(task, label).items()]
            for model in models:
                model.detector = None
            if wants_detector:
                if detector not in self.finders:
                    self.finders[detector] = build_detector(detector, self.options['device'])
                next(model for model in models if model.preprocess.needs_boxes).detector = self.finders[detector]
            result = Pipeline(models)(pixels) if task in (ALL, RELIGHT) else models[0](pixels)
        for one in result.values() if isinstance(result, ImageResults) else [result]:
            one.path = str(image)
        return result

    def takes_detector(self, task: str) -> bool:
        """Return whether a task takes people."""
        return any('detector' in get_predictor_class(name).options for name in self._tasks(task))

    def kinds(self, task: str) -> tuple[str, ...]:
        """Return the kinds of files of a task that every image has and every model can write."""
        files = [file for name in self._tasks(task) for file in get_result_class(name).files]
        return tuple(dict.fromkeys(file.kind for file in files if not (file.sometimes or file.needs)))

    def _tasks(self, task: str) -> list[str]:
        if task == RELIGHT:
            # A matte has soft edges, so it comes before parts.
            cut = [name for name in ('matting', 'seg') if name in self.together][:1]
            return ['albedo', 'normal', *cut]
        return self.together if task == ALL else [task]

    def _by_label(self, task: str, label: str) -> dict[str, list[str]]:
        """Return the tasks that each model runs. A model of several tasks runs once for all of them."""
        found: dict[str, list[str]] = {}
        for name in self._tasks(task):
            found.setdefault(self.labels(name)[0] if task in (ALL, RELIGHT) else label, []).append(name)
        return found

    def _predictor(self, tasks: list[str], label: str) -> Predictor:
        key = ' + '.join(tasks), label
        if key not in self.predictors:
            while len(self.predictors) >= max(LOADED, len(self.together)):
                self.predictors.popitem(last=False)
            options = dict(self.choices[tasks[0]][label], **self.options, batch_size=8)
            self.predictors[key] = load_model(**options | dict(task=tasks if len(tasks) > 1 else tasks[0]))
        self.predictors.move_to_end(key)
        return self.predictors[key]


def names() -> tuple[str, ...]:
    return task_names(inference=True)


def _label(model: str, checkpoint: str | None) -> str:
    """Return the label of a model: the published name, or the config or folder with its parent, and the checkpoint."""
    from_config = is_config(model)
    is_path = from_config or is_huggingface_folder(model)
    name = _tail(Path(model.removesuffix('.py'))) if is_path else find(model).name
    if checkpoint is None:
        return f'{name} (random weights: no checkpoint)' if from_config else name
    return f'{name} ({_tail(Path(checkpoint))})'


def _tail(path: Path) -> str:
    return '/'.join(path.parts[-2:])


def summary(result: Result | ImageResults, seconds: float) -> str:
    """Describe a result in one line."""
    height, width = result.image.shape[:2]
    return f'{result.summary()} · {width} x {height} pixels · {seconds:.2f} s'


def make_page(demo: Demo, folder: Path):
    """Build the page (gradio's Blocks); files are written to ``folder``."""
    gr = require('gradio', 'sapiens demo')
    tasks = list(demo.choices)
    # All labels, for programs that call the page; users see those of the chosen task.
    labels = list(dict.fromkeys(label for task in tasks for label in demo.labels(task)))

    def switch(task: str):
        labels = demo.labels(task)
        groups = gr.update(visible=demo.takes_detector(task)), gr.update(visible=task == RELIGHT)
        return gr.update(choices=labels, value=labels[0]), *groups

    def compute(image: str | None, task: str, label: str, detector: str, style: str, threshold: float, boxes: bool):
        if image is None:
            raise gr.Error('Drop an image first.', print_exception=False)
        begin = time.perf_counter()
        try:
            result = demo.predict(image, task, label, detector)
            seconds = time.perf_counter() - begin
            saving = dict(kinds=demo.kinds(task), style=style, threshold=threshold, show_boxes=boxes)
            place = Path(tempfile.mkdtemp(dir=folder))
            files = result.save(place, **saving)
            if isinstance(result, ImageResults):
                files.append(place / f'{task if task == RELIGHT else ALL}.jpg')
                write_file(files[-1], relight_results(result, Light()) if task == RELIGHT else result.draw(**saving))
        except (BadImage, OSError, ValueError, ImportError) as error:
            raise gr.Error(str(error), duration=None, print_exception=False) from error
        shown = next(path for path in reversed(files) if path.suffix == '.jpg')
        kept = result if task == RELIGHT else None
        return str(shown), summary(result, seconds), [str(path) for path in reversed(files)], kept

    def turn(kept: ImageResults | None, azimuth: float, elevation: float, ambient: float):
        if kept is None:
            raise gr.Error('Run the task relight first.', print_exception=False)
        return relight_results(kept, Light(azimuth, elevation, ambient=ambient))

    with gr.Blocks(title='sapiens', analytics_enabled=False) as page:
        gr.Markdown('# sapiens\nDrop an image of people and choose a task.')
        with gr.Row():
            with gr.Column():
                image = gr.Image(type='filepath', sources=['upload', 'clipboard'], label='Image', height=380)
                task = gr.Radio(tasks, value=tasks[0], label='Task')
                model = gr.Dropdown(labels, value=labels[0], label='Model')
                button = gr.Button('Run', variant='primary')
                with gr.Group(visible=demo.takes_detector(tasks[0])) as options:
                    detector = gr.Dropdown(demo.detectors, value=demo.detectors[0], label='Detector')
                    style = gr.Radio(list(STYLES), value=STYLES[0], label='Style')
                    threshold = gr.Slider(
                        0, 1, value=Saving.threshold, step=0.05, label='Minimum score of a drawn keypoint'
                    )
                    boxes = gr.Checkbox(label='Boxes')
                with gr.Group(visible=tasks[0] == RELIGHT) as lamp:
                    gr.Markdown('A demonstration of albedo and normals: shading only, without shadows and highlights.')
                    light = Light()
                    lights = [
                        gr.Slider(-180, 180, value=light.azimuth, step=5, label='Light from the right (degrees)'),
                        gr.Slider(-90, 90, value=light.elevation, step=5, label='Light from above (degrees)'),
                        gr.Slider(0, 1, value=light.ambient, step=0.05, label='Light from everywhere'),
                    ]
            with gr.Column():
                buttons = ['download', 'fullscreen']
                shown = gr.Image(label='Result', format='jpeg', interactive=False, height=380, buttons=buttons)
                text = gr.Textbox(label='Summary', interactive=False)
                files = gr.File(label='Files', file_count='multiple', interactive=False)
        kept = gr.State(None)
        hidden = dict(api_visibility='private', show_progress='hidden')
        gr.on([page.load, task.change], switch, task, [model, options, lamp], **hidden)
        inputs = [image, task, model, detector, style, threshold, boxes]
        gr.on([button.click, image.upload], compute, inputs, [shown, text, files, kept], api_name='run')
        gr.on([slider.release for slider in lights], turn, [kept, *lights], shown, **hidden)
    return page


def delete_old(folder: Path) -> None:
    """Delete the folders of images and results that are older than an hour."""
    for place in folder.iterdir():
        if time.time() - place.stat().st_mtime > KEPT:
            shutil.rmtree(place, ignore_errors=True)


def delete_regularly(folder: Path) -> None:
    while True:
        time.sleep(KEPT / 4)
        delete_old(folder)


def available() -> list[tuple[str, None]]:
    """Return the published models whose files are on this machine."""
    found = []
    for name, entry in ZOO.items():
        if entry.task in (*names(), 'pretrain'):
            try:
                resolve_checkpoint(name)
            except FileNotFoundError:
                continue
            found.append((name, None))
    return found


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    # No analytics; dropped files are deleted with the page.
    os.environ['GRADIO_ANALYTICS_ENABLED'] = 'False'
    with tempfile.TemporaryDirectory(prefix='sapiens_demo_') as folder:
        os.environ['GRADIO_TEMP_DIR'] = folder
        models = with_checkpoints(args.model, args.checkpoint) if args.model else available()
        demo = Demo(models, args.detector, args.device, args.dtype)
        gr = require('gradio', 'sapiens demo')
        page = make_page(demo, Path(folder))
        # System fonts: gradio would download its own.
        theme = gr.themes.Default(font=['system-ui', 'sans-serif'], font_mono=['ui-monospace', 'monospace'])
        threading.Thread(target=delete_regularly, args=(Path(folder),), daemon=True).start()
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # deletes the folder
        page.queue(default_concurrency_limit=1)
        page.launch(
            server_name=args.host,
            server_port=args.port,
            inbrowser=args.open,
            theme=theme,
            max_file_size='64mb',
            footer_links=[],
            quiet=True,
            show_error=True,
            prevent_thread_lock=True,
        )
        print(f'the page is at {page.local_url}; Ctrl-C stops it', flush=True)
        page.block_thread()
