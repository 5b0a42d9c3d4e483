"""Components of the page. They are in the order in which the tab key visits them and in which a phone shows them."""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace

from sapiens.metainfo.palettes import PALETTES
from sapiens.visualization.people import STYLES

from ..demo import RELIGHT, Demo
from ..own_models import DETECTOR
from ..relight import Light
from .kept import Look
from .texts import licenses, where

__all__ = ['BY_HAND', 'EXAMPLES', 'STYLE_SHEET', 'build', 'empty', 'people_choices']

STYLE_SHEET = Path(__file__).with_name('style.css')
# Rendered by `sapiens render`; see docs/inference.md.
EXAMPLES = sorted(Path(__file__).with_name('examples').glob('*.jpg'))
BY_HAND = 'by-hand'
NAMES = {'auto': 'Find people (best detector here)', 'whole-image': 'The whole picture is one person',
         BY_HAND: 'Boxes by hand'}  # fmt: skip


def empty() -> str:
    """Return what is shown where there is no result."""
    return '<p class="empty">The result appears here.</p>'


def build(gr: ModuleType, demo: Demo, host: str) -> SimpleNamespace:
    """Build the components, without events.

    Args:
        gr: gradio.
        host: address that the page listens on.

    Returns:
        the components by name; ``page`` is gradio's Blocks.
    """
    titles = demo.titles()
    first = next(iter(titles))
    # All labels, for programs that call the page; users see those of the chosen task.
    labels = list(dict.fromkeys(label for task in titles for label in demo.labels(task)))
    label = demo.labels(first)[0]
    with gr.Blocks(title='sapiens', analytics_enabled=False) as page:
        gr.Markdown('# sapiens\nChoose a picture of people and a task.')
        gr.HTML(f'<p>{where(host)}</p>', elem_id='about', padding=False)
        with gr.Row(elem_id='columns'):
            with gr.Column(min_width=320):
                source = _source(gr)
                task = gr.Radio([(title, name) for name, title in titles.items()], value=first, label='Task')
                model = gr.Dropdown(labels, value=label, label='Model', elem_id='model')
                license = gr.HTML(license_line(demo, first, label), elem_id='license', padding=False)
                people = _people(gr, demo, first)
                with gr.Row():
                    run = gr.Button('Run', variant='primary', elem_id='run')
                    cancel = gr.Button('Cancel', visible=False, elem_id='cancel')
            with gr.Column(min_width=320):
                status = gr.HTML('', elem_id='status', padding=False)
                result = gr.HTML(empty(), elem_id='result', padding=False)
                clip = gr.Video(label='Result', visible=False, interactive=False)
                shown = gr.Radio([], label='Shown', visible=False)
                lamp = _lamp(gr, first == RELIGHT)
                download = gr.DownloadButton('Download all files (zip)', interactive=False, elem_id='download')
                look = _look(gr)
        kept = gr.State(None, time_to_live=3600)
        corner = gr.State(None)
        mode = gr.State('image')
        api = _api(gr)
    return SimpleNamespace(page=page, task=task, model=model, license=license, run=run, cancel=cancel, status=status,
                           result=result, clip=clip, shown=shown, download=download, kept=kept, corner=corner, mode=mode,
                           **vars(source), **vars(people), **vars(lamp), **vars(look), **vars(api))  # fmt: skip


def license_line(demo: Demo, task: str, label: str) -> str:
    """Return the license of the weights of a choice as HTML."""
    return f'<p>{licenses(demo.models(task, label))}</p>'


def _source(gr: ModuleType) -> SimpleNamespace:
    with gr.Tabs():
        with gr.Tab('Picture', id='image') as image_tab:
            sources = ['upload', 'webcam', 'clipboard']
            image = gr.Image(
                type='filepath', sources=sources, label='Picture', height=320, buttons=[], elem_id='picture'
            )
            if EXAMPLES:
                gr.Examples(
                    [[str(path)] for path in EXAMPLES], image, label='Examples: rendered people', elem_id='examples'
                )
        with gr.Tab('Video', id='video') as video_tab:
            video = gr.Video(sources=['upload', 'webcam'], label='Video', height=320)
            frames = gr.Slider(10, 1000, value=250, step=10, label='Frames at most')
    return SimpleNamespace(image_tab=image_tab, image=image, video_tab=video_tab, video=video, frames=frames)


def people_choices(detectors: Sequence[str]) -> list[tuple[str, str]]:
    """Return how people can be found: text and name of each detector, and boxes by hand."""
    names = NAMES | {'embedded': f'Find people ({DETECTOR})'}
    return [(names.get(name, f'Find people ({name})'), name) for name in (*detectors, BY_HAND)]


def _people(gr: ModuleType, demo: Demo, first: str) -> SimpleNamespace:
    choices = people_choices(demo.detectors)
    with gr.Group(visible=demo.takes_detector(first)) as people:
        detector = gr.Dropdown(choices, value=demo.detectors[0], label='People')
        with gr.Column(visible=False, elem_id='by-hand') as hand:
            # Not as the label of the picture, which would cover a corner of it.
            gr.Markdown('Click two opposite corners of a person. Click a corner to move it.', elem_id='by-hand-hint')
            canvas = gr.Image(label='Picture with boxes', show_label=False, interactive=False, format='jpeg', buttons=[],
                              elem_id='canvas')  # fmt: skip
            info = 'left, top, right, bottom in pixels; one person a line'
            boxes = gr.Textbox(label='Boxes', info=info, lines=2, elem_id='boxes')
            undo = gr.Button('Remove the last box', size='sm')
    return SimpleNamespace(people=people, detector=detector, hand=hand, canvas=canvas, boxes=boxes, undo=undo)


def _lamp(gr: ModuleType, visible: bool) -> SimpleNamespace:
    light = Light()
    with gr.Group(visible=visible) as lamp:
        gr.Markdown('A demonstration of albedo and normals: shading only, without shadows and highlights.')
        azimuth = gr.Slider(-180, 180, value=light.azimuth, step=5, label='Light from the right (degrees)')
        elevation = gr.Slider(-90, 90, value=light.elevation, step=5, label='Light from above (degrees)')
        ambient = gr.Slider(0, 1, value=light.ambient, step=0.05, label='Light from everywhere')
    return SimpleNamespace(lamp=lamp, azimuth=azimuth, elevation=elevation, ambient=ambient)


def _look(gr: ModuleType) -> SimpleNamespace:
    look = Look()
    with gr.Accordion('Drawing', open=True):
        gr.Markdown('Changes draw a picture again at once. A video takes them at its next run.')
        threshold = gr.Slider(0, 1, value=look.threshold, step=0.05, label='Minimum score of a drawn keypoint')
        style = gr.Radio(_named(STYLES), value=look.style, label='Style of people')
        palette = gr.Radio(_named(PALETTES), value=look.palette, label='Colors of keypoints and classes')
        show_boxes = gr.Checkbox(value=look.show_boxes, label='Boxes of people')
        legend = gr.Checkbox(value=look.legend, label='Legend')
    return SimpleNamespace(threshold=threshold, style=style, palette=palette, show_boxes=show_boxes, legend=legend)


def _named(names: tuple[str, ...]) -> list[tuple[str, str]]:
    return [('OpenPose' if name == 'openpose' else name.capitalize(), name) for name in names]


def _api(gr: ModuleType) -> SimpleNamespace:
    """Components of the call of programs, which users do not see."""
    return SimpleNamespace(
        api=gr.Button('api', visible=False),
        api_picture=gr.Image(label='Result', format='jpeg', visible=False),
        api_text=gr.Textbox(label='Summary', visible=False),
        api_files=gr.File(label='Files', file_count='multiple', visible=False),
    )
