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
from pathlib import Path

from sapiens.apis.demo import ALL, RELIGHT, Demo, models_on_this_machine
from sapiens.apis.detectors import DETECTORS
from sapiens.apis.loading.load_model import with_checkpoints
from sapiens.apis.relight import Light, relight_results
from sapiens.apis.results import ImageResults, Result, Saving
from sapiens.apis.writers.files import write_file
from sapiens.datasets.transforms import BadImage
from sapiens.metainfo.palettes import PALETTES
from sapiens.utils.cli import add_model_arguments, tool_parser
from sapiens.utils.device import DTYPES
from sapiens.utils.optional import require
from sapiens.visualization.people import STYLES

KEPT = 3600  # seconds until images and results are deleted


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

    def compute(
        image: str | None,
        task: str,
        label: str,
        detector: str,
        style: str,
        threshold: float,
        boxes: bool,
        palette: str = PALETTES[0],
        legend: bool = True,
    ):
        if image is None:
            raise gr.Error('Drop an image first.', print_exception=False)
        begin = time.perf_counter()
        try:
            result = demo.predict(image, task, label, detector)
            seconds = time.perf_counter() - begin
            saving = dict(kinds=demo.kinds(task), style=style, threshold=threshold, show_boxes=boxes)
            saving.update(palette=palette, legend=legend)
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
                palette = gr.Radio(list(PALETTES), value=PALETTES[0], label='Colors of keypoints and classes')
                legend = gr.Checkbox(value=True, label='Legend')
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
        inputs = [image, task, model, detector, style, threshold, boxes, palette, legend]
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


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    # No analytics; dropped files are deleted with the page.
    os.environ['GRADIO_ANALYTICS_ENABLED'] = 'False'
    with tempfile.TemporaryDirectory(prefix='sapiens_demo_') as folder:
        os.environ['GRADIO_TEMP_DIR'] = folder
        models = with_checkpoints(args.model, args.checkpoint) if args.model else models_on_this_machine()
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
