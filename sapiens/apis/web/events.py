"""What happens on the page: a result is computed, drawn again, cleared, and packed for download."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace

from ..demo import RELIGHT, Demo
from ..inputs import read_pixels
from ..results import PoseResult
from .archive import describe, readme, write_zip
from .hand_boxes import add_click, draw_boxes, format_boxes, parse_boxes, without_last
from .kept import SIDE_BY_SIDE, Kept, Look, compare
from .layout import BY_HAND, build, empty, license_line
from .steps import Canceled, Progress, Step, image_steps, video_steps
from .texts import licenses, note, sentence, summary

__all__ = ['Handlers', 'make_page']

# On a narrow window the result is below the button, on a wide one it may be above the visible part.
SCROLL = """() => document.getElementById('status').scrollIntoView(
    {block: window.innerWidth <= 700 ? 'start' : 'nearest',
     behavior: matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth'})"""
# gradio shows examples as buttons with a picture and no name. It draws them after the page is loaded.
NAME_EXAMPLES = """() => { const name = () => document.querySelectorAll('.gallery-item').forEach(
    (one, index) => one.setAttribute('aria-label', `Example ${index + 1}`));
    name(); new MutationObserver(name).observe(document.body, {childList: true, subtree: true}) }"""
LOOK = ('style', 'threshold', 'show_boxes', 'palette', 'legend', 'shown', 'azimuth', 'elevation', 'ambient')


def path_of(value) -> str:
    """Return the path of an image or video that the page sends: '' for none."""
    if isinstance(value, dict):
        value = (value.get('video') or value).get('path') if 'video' in value else value.get('path')
    return value or ''


@dataclass
class Handlers:
    """Functions behind the components. Each returns the changed components by name.

    Args:
        demo: models.
        folder: of files that the server serves.
        update: gradio's ``update``, which changes options of a component.
    """

    demo: Demo
    folder: Path
    update: Callable
    running: dict[str, Progress] = field(default_factory=dict)

    def place(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.folder))

    # ------------------------------------------------------------------ choices

    def switch(self, task: str) -> dict:
        """Another task is chosen: its models and options."""
        labels = self.demo.labels(task)
        return dict(
            model=self.update(choices=labels, value=labels[0]),
            people=self.update(visible=self.demo.takes_detector(task)),
            lamp=self.update(visible=task == RELIGHT),
            license=license_line(self.demo, task, labels[0]),
        )

    def clear(self) -> dict:
        """Another task, model or picture is chosen: the result of the old one goes."""
        return dict(
            **self.idle(''),
            result=empty(),
            kept=None,
            clip=self.update(value=None, visible=False),
            shown=self.update(choices=[], value=None, visible=False),
            download=self.update(value=None, interactive=False),
        )

    def idle(self, text: str, kind: str = 'done') -> dict:
        """Nothing is computed (any more)."""
        buttons = dict(run=self.update(interactive=True), cancel=self.update(visible=False))
        return dict(status=note(text, kind), **buttons)

    def start(self) -> dict:
        """The button is pressed: say so at once, also while another user's result is computed."""
        return self.clear() | dict(
            status=note('Waiting for the computer…'),
            run=self.update(interactive=False),
            cancel=self.update(visible=True),
        )

    # ------------------------------------------------------------------ results

    def compute(
        self,
        session: str,
        mode: str,
        image,
        video,
        frames: int,
        task: str,
        label: str,
        detector: str,
        boxes: str,
        look: Look,
    ) -> Iterator[dict]:
        """Compute a picture or a video and yield what changes. Errors become one sentence above the result."""
        progress = self.running[session] = Progress()
        source = path_of(video if mode == 'video' else image)
        try:
            if not source:
                raise ValueError(f'Choose a {"video" if mode == "video" else "picture"} first')
            place = self.place()
            if mode == 'video':
                if detector == BY_HAND and self.demo.takes_detector(task):
                    raise ValueError('Boxes by hand are for pictures: choose how people are found in a video')
                steps = video_steps(self.demo, source, task, label, detector, look, int(frames), place, progress)
            else:
                by_hand = (
                    self._boxes(boxes, source) if detector == BY_HAND and self.demo.takes_detector(task) else None
                )
                steps = image_steps(self.demo, source, task, label, detector, by_hand, place, progress)
            for step in steps:
                yield (
                    dict(status=note(step.text))
                    if step.result is None
                    else self._shown(step, mode, look, task, label, place)
                )
        except Canceled:
            yield self.idle('Canceled.')
        except Exception as error:
            yield self.idle(sentence(error, source), 'error')
        finally:
            progress.canceled.set()
            if self.running.get(session) is progress:
                del self.running[session]

    def _boxes(self, text: str, source: str):
        boxes = parse_boxes(text, read_pixels(source).shape[:2])
        if not len(boxes):
            raise ValueError('Draw a box first: click two opposite corners of a person')
        return boxes

    def _shown(self, step: Step, mode: str, look: Look, task: str, label: str, place: Path) -> dict:
        if mode == 'video':
            video, *_ = files = step.result
            text = f'{len(files)} files of the video'
            about = self._readme(place, files, task, label, text)
            archive = write_zip(self.place() / f'sapiens_{task}_{video.stem}.zip', place, files, about)
            clip = self.update(value=str(video), visible=True)
            return self.idle('Done.') | dict(
                result='', clip=clip, download=self.update(value=str(archive), interactive=True)
            )
        kept: Kept = step.result
        parts = kept.parts()
        changed = self.idle(summary(kept.results, kept.seconds))
        changed |= dict(self.drawn(kept, look), kept=kept)
        if parts:
            names = [(self.demo.titles()[part], part) for part in parts]
            choices = [('Side by side', SIDE_BY_SIDE), *names]
            changed['shown'] = self.update(choices=choices, value=SIDE_BY_SIDE, visible=True)
        people = kept.results if isinstance(kept.results, PoseResult) else getattr(kept.results, 'get', {}.get)('pose')
        if people is not None:
            changed['boxes'] = format_boxes(people.boxes)
            if not len(people):
                text = 'No person was found: draw a box by hand below the model, and run again.'
                # The changed detector shows the canvas. Set here too, its file would be written while it is served.
                changed |= dict(status=note(text, 'warning'), detector=BY_HAND)
        return changed

    def drawn(self, kept: Kept | None, look: Look) -> dict:
        """Draw the kept result again."""
        if kept is None:
            return {}
        title = f'{self.demo.titles()[kept.task]}, {kept.results.summary()}'
        try:
            return dict(result=compare(kept.view(look), self.folder, title))
        except Exception as error:  # such as a style that the skeleton does not have
            return dict(status=note(sentence(error, kept.results.path), 'error'))

    def packed(self, kept: Kept | None, look: Look) -> dict:
        """Write the files of the kept result to one zip file."""
        if kept is None:
            return {}
        try:
            files = kept.write(look)
        except Exception as error:
            return dict(status=note(sentence(error, kept.results.path), 'error'))
        name = Path(kept.results.path).stem
        about = self._readme(kept.folder, files, kept.task, kept.label, summary(kept.results, kept.seconds))
        archive = write_zip(self.place() / f'sapiens_{kept.task}_{name}.zip', kept.folder, files, about)
        return dict(download=self.update(value=str(archive), interactive=True))

    def _readme(self, folder: Path, files: list[Path], task: str, label: str, text: str) -> str:
        named = {file.relative_to(folder).as_posix(): describe(file, folder, task) for file in files}
        license = licenses(self.demo.models(task, label))
        return readme(self.demo.titles()[task], label, license, text, named)

    def cancel(self, session: str) -> dict:
        if session in self.running:
            self.running[session].canceled.set()
        return self.idle('Canceled.')

    # ------------------------------------------------------------------ boxes by hand

    def canvas(self, image, detector: str, boxes: str, corner=None) -> dict:
        """Show the picture with the boxes, if they are drawn by hand."""
        if detector != BY_HAND:
            return dict(hand=self.update(visible=False))
        source = path_of(image)
        try:
            drawn = draw_boxes(read_pixels(source), boxes, corner) if source else None
        except (OSError, ValueError) as error:
            return dict(hand=self.update(visible=True), status=note(sentence(error, source), 'error'))
        return dict(hand=self.update(visible=True), canvas=drawn)

    def clicked(self, image, boxes: str, corner, point) -> dict:
        """Take a click on the canvas."""
        source = path_of(image)
        try:
            pixels = read_pixels(source)
            boxes, corner = add_click(boxes, corner, point, pixels.shape[:2])
            return dict(boxes=boxes, corner=corner, canvas=draw_boxes(pixels, boxes, corner))
        except (OSError, ValueError) as error:
            return dict(corner=None, status=note(sentence(error, source), 'error'))


def make_page(gr: ModuleType, demo: Demo, folder: Path, host: str = '127.0.0.1'):
    """Build the page (gradio's Blocks).

    Args:
        gr: gradio.
        demo: models.
        folder: of files that are written; the server serves it.
        host: address that the page listens on.
    """
    parts = build(gr, demo, host)
    act = Handlers(demo, folder, gr.update)
    with parts.page:
        _connect(gr, parts, act)
        _connect_api(gr, parts, act)
    return parts.page


def _connect(gr: ModuleType, parts: SimpleNamespace, act: Handlers) -> None:
    hidden = dict(api_visibility='private', show_progress='hidden')

    def named(*names: str) -> list:
        return [getattr(parts, name) for name in names]

    def changes(values: dict):
        return {getattr(parts, name): value for name, value in values.items()} or gr.skip()

    def on(triggers, function, inputs: list, outputs: tuple[str, ...], **options):
        return gr.on(
            triggers, lambda *values: changes(function(*values)), inputs, named(*outputs), **hidden, **options
        )

    def compute(request: gr.Request, *values):
        look = Look(**dict(zip(LOOK, values[: len(LOOK)], strict=True)))
        arguments = (request.session_hash, *values[len(LOOK) :], look)
        yield from map(changes, act.compute(*arguments))

    def cancel(request: gr.Request):
        return changes(act.cancel(request.session_hash))

    def clicked(image, boxes, corner, event: gr.SelectData):
        return changes(act.clicked(image, boxes, corner, tuple(event.index)))

    def with_look(function: Callable) -> Callable:
        return lambda kept, *values: function(kept, Look(**dict(zip(LOOK, values, strict=True))))

    cleared = ('status', 'run', 'cancel', 'result', 'kept', 'clip', 'shown', 'download')
    look = named(*LOOK)
    parts.page.load(None, None, None, js=NAME_EXAMPLES, **hidden)
    parts.run.click(None, None, None, js=SCROLL, **hidden)
    started = on(parts.run.click, act.start, [], cleared, queue=False)
    inputs = [*look, *named('mode', 'image', 'video', 'frames', 'task', 'model', 'detector', 'boxes')]
    outputs = named(*cleared, 'boxes', 'detector')
    computed = started.then(compute, inputs, outputs, preprocess=False, **hidden)
    computed.then(None, None, None, js=SCROLL, **hidden)
    packing = [parts.kept, *look]

    def pack(*values):
        return changes(with_look(act.packed)(*values))

    computed.then(pack, packing, named('download', 'status'), **hidden)
    stop = dict(cancels=[computed], queue=False)
    parts.cancel.click(cancel, None, named('status', 'run', 'cancel'), **stop, **hidden)

    on([parts.page.load, parts.task.change], act.switch, [parts.task], ('model', 'people', 'lamp', 'license'))
    on(parts.model.input, lambda task, label: dict(license=license_line(act.demo, task, label)),
       named('task', 'model'), ('license',))  # fmt: skip
    cleared_by = [parts.task.change, parts.model.input, parts.image.change, parts.video.change]
    on(cleared_by, act.clear, [], cleared, **stop)
    for name, tab in (('image', parts.image_tab), ('video', parts.video_tab)):
        on(tab.select, lambda name=name: act.clear() | dict(mode=name), [], (*cleared, 'mode'), **stop)

    redraw = [part.change for part in look if part not in (parts.shown,)] + [parts.shown.input]
    drawn = on(redraw, with_look(act.drawn), packing, ('result', 'status'), trigger_mode='always_last')
    drawn.then(pack, packing, named('download', 'status'), trigger_mode='always_last', **hidden)

    hand = named('image', 'detector', 'boxes', 'corner')
    shown = ('hand', 'canvas', 'status')
    on(parts.image.change, lambda *_: dict(boxes='', corner=None), [], ('boxes', 'corner')).then(
        lambda *values: changes(act.canvas(*values)), hand, named(*shown), preprocess=False, **hidden)  # fmt: skip
    on([parts.detector.change, parts.boxes.blur, parts.boxes.submit], act.canvas, hand, shown, preprocess=False)
    on(parts.undo.click, lambda image, detector, boxes, _: dict(boxes=without_last(boxes), corner=None)
       | act.canvas(image, detector, without_last(boxes)), hand, ('boxes', 'corner', *shown), preprocess=False)  # fmt: skip
    parts.canvas.select(clicked, named('image', 'boxes', 'corner'), named('boxes', 'corner', 'canvas', 'status'),
                        preprocess=False, **hidden)  # fmt: skip


def _connect_api(gr: ModuleType, parts: SimpleNamespace, act: Handlers) -> None:
    """Connect the call of programs, which returns the picture, a line about the result, and the files."""

    def call(image, task, label, detector, style, threshold, show_boxes, palette, legend):
        source, progress = path_of(image), Progress()
        look = Look(style, threshold, show_boxes, palette, legend)
        try:
            if not source:
                raise ValueError('Choose a picture first')
            *_, step = image_steps(act.demo, source, task, label, detector, None, act.place(), progress)
            files = step.result.write(look)
        except Exception as error:
            raise gr.Error(sentence(error, source), print_exception=False) from error
        picture = next(path for path in reversed(files) if path.suffix == '.jpg')
        line = summary(step.result.results, step.result.seconds)
        return str(picture), line, [str(path) for path in reversed(files)]

    inputs = [parts.image, parts.task, parts.model, parts.detector, parts.style, parts.threshold, parts.show_boxes]
    inputs += [parts.palette, parts.legend]
    outputs = [parts.api_picture, parts.api_text, parts.api_files]
    parts.api.click(call, inputs, outputs, api_name='run', preprocess=False)
