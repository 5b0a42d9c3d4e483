"""The page of sapiens demo in a real browser, in the widths of a computer and of a phone.

Needs gradio, playwright (pip install playwright), and Chromium or Chrome on the PATH, or in SAPIENS_TEST_BROWSER: its file, or
the address of a running one (http://127.0.0.1:9222). Skipped with a reason otherwise.
"""

import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sapiens.apis.demo import Demo
from sapiens.apis.web.events import make_page
from sapiens.apis.web.layout import EXAMPLES, STYLE_SHEET

from ..apis.test_sapiens2_results import tiny_config
from .test_demo import DEPTH, POSE, ROOT

BROWSERS = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome', 'microsoft-edge')
WAIT = 240_000  # milliseconds; the machine may be busy
WIDTHS = (1280, 390)
REDRAWN = """old => { const one = document.querySelector('.compare .after');
    return one && one.getAttribute('src') != old }"""
REDRAWN_CANVAS = """old => { const one = document.querySelector('#canvas img');
    return one && one.getAttribute('src') != old && one.complete && one.naturalWidth > 0 }"""

pytestmark = pytest.mark.timeout(1800)


def find_browser() -> str | None:
    named = os.environ.get('SAPIENS_TEST_BROWSER')
    return named or next(filter(None, map(shutil.which, BROWSERS)), None)


@pytest.fixture(scope='module')
def browser():
    pytest.importorskip('gradio', reason='the page needs gradio: pip install gradio')
    sync_api = pytest.importorskip('playwright.sync_api', reason='tests in a browser need: pip install playwright')
    found = find_browser()
    if found is None:
        pytest.skip(f'no browser: none of {", ".join(BROWSERS)} is on the PATH, and SAPIENS_TEST_BROWSER is not set')
    with sync_api.sync_playwright() as playwright:
        if found.startswith('http'):
            yield playwright.chromium.connect_over_cdp(found, timeout=WAIT)
            return
        browser = playwright.chromium.launch(executable_path=found, args=['--no-sandbox'], timeout=WAIT)
        yield browser
        browser.close()


class Recorded(Demo):
    """Counts what is computed."""

    computed = 0
    nobody = False

    def predict(self, *arguments, **options):
        self.computed += 1
        return super().predict(*arguments, **options)

    def load(self, *arguments):
        models, finder = super().load(*arguments)
        none = np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
        return models, (lambda images: [none for _ in images]) if self.nobody and finder else finder


@pytest.fixture(scope='module')
def served(tmp_path_factory):
    gr = pytest.importorskip('gradio', reason='the page needs gradio: pip install gradio')
    folder = tmp_path_factory.mktemp('served')
    tiny_config('albedo').dump(str(folder / 'albedo.py'))
    normal = str(ROOT / 'configs/normal/sapiens2_tiny_synthetic-128x96.py')
    models = [(POSE, None), (DEPTH, None), (str(folder / 'albedo.py'), None), (normal, None)]
    before = {name: os.environ.get(name) for name in ('GRADIO_TEMP_DIR', 'GRADIO_ANALYTICS_ENABLED')}
    os.environ.update(GRADIO_TEMP_DIR=str(folder), GRADIO_ANALYTICS_ENABLED='False')
    demo = Recorded(models, device='cpu')
    demo.detectors = ['whole-image']
    page = make_page(gr, demo, folder)
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, css_paths=STYLE_SHEET, footer_links=[])
    demo.address = address
    yield demo
    page.close()
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.fixture(params=WIDTHS)
def page(browser, served, request):
    served.nobody = False
    touch = request.param < 700
    context = browser.new_context(
        viewport=dict(width=request.param, height=844), has_touch=touch, accept_downloads=True
    )
    context.set_default_timeout(WAIT)
    page = context.new_page()
    page.goto(served.address)
    page.locator('#run').wait_for()
    page.locator('#picture input[type=file]').wait_for(state='attached')
    yield page
    context.close()


def choose(page, path=None):
    page.locator('#picture input[type=file]').set_input_files(str(path or EXAMPLES[0]))
    page.locator('#picture img').first.wait_for()


def task(page, name):
    page.get_by_role('radio', name=name).check()


def run(page):
    # What an earlier run said stays until the server answers.
    page.evaluate("document.querySelectorAll('.note').forEach(one => one.classList.add('old'))")
    page.locator('#run').click()
    page.locator(':is(.note.done, .note.error, .note.warning):not(.old)').first.wait_for()


def box(page, selector):
    return page.locator(selector).bounding_box()


def test_a_result_its_slider_and_its_files(page, served, tmp_path):
    wide = page.viewport_size['width'] > 700
    assert page.evaluate('document.scrollingElement.scrollWidth <= innerWidth'), 'nothing is cut off'
    task(page, 'Pose (keypoints)')
    choose(page)
    run(page)
    page.locator('.compare .after').wait_for()
    assert '1 person' in page.locator('#status').inner_text()
    assert page.locator('.compare img').evaluate_all('all => all.every(one => one.naturalWidth > 0)'), (
        'they are served'
    )
    result, button = box(page, '.compare'), box(page, '#run')
    if wide:
        assert result['x'] > button['x'] + button['width'], 'beside the choices'
    else:
        assert result['y'] > button['y'], 'below the button'
    # The page scrolls to the line about the result.
    page.wait_for_function("""() => { const at = document.getElementById('status').getBoundingClientRect();
        return at.top >= 0 && at.bottom <= innerHeight }""")
    slider = page.get_by_role('slider', name='Slider between input and result')
    slider.focus()
    page.keyboard.press('ArrowRight')
    assert page.locator('.compare').evaluate("one => one.style.getPropertyValue('--cut')") == '51%'
    # The threshold draws the kept result again.
    count, address = served.computed, page.locator('.compare .after').get_attribute('src')
    page.get_by_role('slider', name='Minimum score').focus()
    page.keyboard.press('End')
    page.wait_for_function(REDRAWN, arg=address)
    assert served.computed == count
    page.wait_for_function("() => !document.querySelector('#download').disabled")
    with page.expect_download() as event:
        page.locator('#download').click()
    event.value.save_as(tmp_path / 'x.zip')
    with zipfile.ZipFile(tmp_path / 'x.zip') as archive:
        assert {'README.txt'} < set(archive.namelist()) and any(name.endswith('.json') for name in archive.namelist())
    # Another task clears the result.
    task(page, 'Depth')
    page.locator('.empty').wait_for()
    assert page.locator('.compare').count() == 0 and page.locator('#status').inner_text().strip() == ''


def test_an_error_is_one_sentence_in_one_place(page, tmp_path):
    broken = tmp_path / 'broken.jpg'
    broken.write_bytes(b'\xff\xd8\xff\xe0 not a picture')
    task(page, 'Depth')
    page.locator('#picture input[type=file]').set_input_files(str(broken))
    page.wait_for_timeout(1000)
    run(page)
    text = page.locator('.note.error').inner_text()
    assert text.startswith('broken.jpg cannot be used: ') and '/' not in text.replace('broken.jpg', '')
    assert page.locator('.note').count() == 1 and page.locator('.toast-body').count() == 0
    assert page.locator('.note.error').evaluate('one => getComputedStyle(one).animationDelay') == '20s', 'it expires'


def test_a_box_by_hand(page, served):
    served.nobody = True
    task(page, 'Pose (keypoints)')
    choose(page)
    run(page)
    assert 'No person was found' in page.locator('.note.warning').inner_text()
    canvas = page.locator('#canvas img')
    canvas.wait_for()
    page.wait_for_function("() => document.querySelector('#canvas img').naturalWidth > 0")
    natural = canvas.evaluate('one => [one.naturalWidth, one.naturalHeight]')
    size, before = canvas.bounding_box(), canvas.get_attribute('src')
    canvas.click(position=dict(x=size['width'] * 0.25, y=size['height'] * 0.25))
    page.wait_for_function(REDRAWN_CANVAS, arg=before)
    canvas.click(position=dict(x=size['width'] * 0.75, y=size['height'] * 0.75))
    text = page.locator('#boxes textarea')
    page.wait_for_function("() => document.querySelector('#boxes textarea').value.split(',').length == 4")
    values = [float(value) for value in text.input_value().split(',')]
    expected = [natural[0] * 0.25, natural[1] * 0.25, natural[0] * 0.75, natural[1] * 0.75]
    assert np.abs(np.subtract(values, expected)).max() < 0.03 * max(natural), (values, expected)
    run(page)
    page.locator('.compare .after').wait_for()
    assert '1 person' in page.locator('#status').inner_text()


def test_the_light_turns_and_examples_are_there(page, served):
    task(page, 'Another light')
    page.locator('#examples button, .gallery-item').first.click()
    page.locator('#picture img').first.wait_for()
    run(page)
    page.locator('.compare .after').wait_for()
    count, address = served.computed, page.locator('.compare .after').get_attribute('src')
    page.get_by_role('slider', name='Light from the right').focus()
    page.keyboard.press('End')
    page.wait_for_function(REDRAWN, arg=address)
    assert served.computed == count, 'the light needs no model'


NAMELESS = """() => [...document.querySelectorAll('button, input, textarea, select, [role=button]')].filter(one =>
    one.checkVisibility() && one.type != 'file' && !(one.innerText || '').trim() && !one.getAttribute('aria-label')
    && !one.title && !(one.labels && [...one.labels].some(label => label.innerText.trim()))
    && !one.getAttribute('aria-labelledby')
    && !one.querySelector('img[alt]:not([alt=""])')).map(one => one.outerHTML.slice(0, 200))"""
PLACES = """order => { const all = [...document.querySelectorAll('button, input, textarea')];
    return order.map(selector => all.findIndex(one => one.matches(selector) || one.closest(selector))) }"""
CONTRAST = """selector => { const one = document.querySelector(selector), style = getComputedStyle(one);
    const light = text => { const [r, g, b] = text.match(/[\\d.]+/g).map(Number).map(v => { v /= 255;
        return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4 }); return 0.2126 * r + 0.7152 * g + 0.0722 * b };
    let below = one; while (/, 0\\)|transparent/.test(getComputedStyle(below).backgroundColor)) below = below.parentElement;
    const [a, b] = [light(style.color), light(getComputedStyle(below).backgroundColor)];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) }"""


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_names_of_controls_order_of_keys_and_colors(browser, served, scheme):
    context = browser.new_context(viewport=dict(width=1280, height=900), color_scheme=scheme)
    context.set_default_timeout(WAIT)
    page = context.new_page()
    page.goto(served.address)
    page.locator('#run').wait_for()
    page.locator('#about').wait_for()
    page.get_by_role('button', name='Example 1').wait_for()
    assert page.evaluate(NAMELESS) == []
    order = ['#picture', '#run', '#download']
    places = page.evaluate(PLACES, order)
    assert -1 not in places and places == sorted(places), (
        'the tab key goes from the picture to the button to the files'
    )
    assert page.locator('[tabindex]').evaluate_all('all => all.every(one => one.tabIndex <= 0)')
    page.locator('#run').click()
    page.locator('.note.error').wait_for()
    for selector in ('.note', '#about p', '#license p', '.empty'):
        assert page.evaluate(CONTRAST, selector) > 4.5, (selector, scheme)
    context.close()


def test_all_examples_are_pictures():
    from PIL import Image

    assert len(EXAMPLES) >= 3
    for path in EXAMPLES:
        with Image.open(path) as image:
            assert min(image.size) >= 190 and Path(path).stat().st_size < 200_000
