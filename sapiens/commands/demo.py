"""Serve a local web page: choose a picture or video and a task, see and save results.

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

from sapiens.apis.demo import Demo, models_on_this_machine, require_files
from sapiens.apis.detectors import DETECTORS
from sapiens.apis.loading.load_model import with_checkpoints
from sapiens.apis.web.events import make_page
from sapiens.apis.web.layout import STYLE_SHEET
from sapiens.utils.cli import add_model_arguments, tool_parser
from sapiens.utils.device import DTYPES
from sapiens.utils.optional import require

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
        require_files(models)
        demo = Demo(models, args.detector, args.device, args.dtype)
        gr = require('gradio', 'sapiens demo')
        page = make_page(gr, demo, Path(folder), args.host)
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
            css_paths=STYLE_SHEET,
            max_file_size='64mb',
            footer_links=[],
            quiet=True,
            show_error=True,
            prevent_thread_lock=True,
        )
        print(f'the page is at {page.local_url}; Ctrl-C stops it', flush=True)
        page.block_thread()
