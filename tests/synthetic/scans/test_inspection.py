"""What is said about scans before they are rendered."""

import pickle

import cv2
import numpy as np
import pytest

pytest.importorskip('trimesh')

from sapiens.synthetic.scans.fits import find_fits, read_scale
from sapiens.synthetic.scans.inspection import choose_unit, choose_up, describe_scan, find_doubts, largest_hole

from . import mannequin

MADE = mannequin.build(16, 24)


def describe(tmp_path, name='a', made=MADE, **options):
    return describe_scan(mannequin.write(tmp_path / f'{name}.obj', made, **options))


def test_what_a_scan_says(tmp_path):
    found = describe(tmp_path, unit=100)
    assert found['triangles'] == len(MADE.faces) and found['image'] == [64, 64] and found['hole'] == 0
    np.testing.assert_allclose(found['extent'], np.ptp(MADE.vertices, axis=0)[[0, 2, 1]] * 100, atol=1)
    assert found['ups'][0] == 'y' and 'z' not in found['ups'] and '-z' not in found['ups']


def test_an_image_that_was_cut_off_is_found_before_rendering(tmp_path):
    path = mannequin.write(tmp_path / 'a.obj', MADE)
    for suffix in ('png', 'jpg'):
        pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
        assert cv2.imwrite(str(tmp_path / f'a.{suffix}'), pixels)
        image = tmp_path / f'a.{suffix}'
        path.with_suffix('.mtl').write_text(f'newmtl skin\nmap_Kd {image.name}\n')
        assert describe_scan(path)['image'] == [64, 64]
        image.write_bytes(image.read_bytes()[: image.stat().st_size // 2])
        with pytest.raises(ValueError, match=rf"a\.obj' has a damaged image 'a\.{suffix}': "):
            describe_scan(path)


def test_the_unit_is_that_of_most(tmp_path):
    facts = [describe(tmp_path, unit=unit) for unit in (100, 100, 100)]
    names = ['a', 'b', 'c']
    assert choose_unit(names, facts) == choose_unit(names, facts, 'cm') == choose_unit(names, facts, 0.01) == 0.01
    assert choose_unit(names, facts, 0.012) == 0.012
    millimeters = describe(tmp_path, unit=1000)
    with pytest.raises(ValueError, match=r'the scan d is 17\.09 m long, at 0\.01 meters.*1.71 m in mm: convert it'):
        choose_unit([*names, 'd'], [*facts, millimeters])
    with pytest.raises(ValueError, match=r'the scan a is 170.9 m long, at 1 meters .*1.71 m in cm'):
        choose_unit(names, facts, 'm')
    with pytest.raises(ValueError, match=r'the scan a is 6.\d+ units long: no person in meters, centimeters'):
        choose_unit(['a'], [describe(tmp_path, unit=4)])


def test_the_axis_is_that_of_most_and_others_are_named(tmp_path):
    facts = [describe(tmp_path, up=up) for up in ('z', 'z', 'y')]
    up, warnings = choose_up(['a', 'b', 'c'], facts)
    assert up == 'z' and len(warnings) == 1 and warnings[0].startswith('c: its head is along y')
    up, warnings = choose_up(['a', 'b', 'c'], facts, 'y')
    assert up == 'y' and [text[:2] for text in warnings] == ['a:', 'b:']
    ball = mannequin.build(16, 24, [((0, 0, 0.5), (0.5, 0.5, 0.5))])
    up, warnings = choose_up(['ball'], [describe(tmp_path, made=ball)])
    assert up == 'y' and warnings == ['ball: no head found along any axis; its faces are framed by the highest point']


def test_holes(tmp_path):
    assert largest_hole(MADE.vertices, MADE.faces) == 0
    corners = MADE.vertices[MADE.faces]
    # Without the band around the chest: two borders, each an ellipse.
    chest = (np.abs(corners[..., 0]) < 0.2).all(1) & (np.abs(corners[..., 2].mean(1) - 1.1) < 0.04)
    opened = mannequin.Mannequin(MADE.vertices, MADE.faces[~chest], MADE.uv, MADE.image)
    hole = largest_hole(opened.vertices, opened.faces)
    assert hole == pytest.approx(np.pi * (0.19 + 0.12), rel=0.05)
    facts = [describe(tmp_path, made=opened, unit=100), describe(tmp_path, unit=100)]
    assert find_doubts(['a', 'b'], facts, 0.01) == [
        f'a: a hole with a border of {hole:.2f} m, through which its inside is seen'
    ]
    assert 'are 0.85 m long in the median: children?' in find_doubts(['a', 'b'], facts[1:] * 2, 0.005)[0]


def test_scales_of_fits(tmp_path):
    scans = [tmp_path / 'scans/0001/0001.obj', tmp_path / 'scans/0002/0002.obj', tmp_path / 'scans/0003/0003.obj']
    for place, scale in (('fits/0001', 0.44), ('scans/0002', 0.5)):
        (tmp_path / place).mkdir(parents=True)
        content = dict(scale=np.array([scale], np.float32), body_pose=np.zeros((1, 63)))
        (tmp_path / place / 'smplx_param.pkl').write_bytes(pickle.dumps(content))
    found = find_fits(tmp_path / 'scans', scans)
    assert found == [tmp_path / 'fits/0001/smplx_param.pkl', tmp_path / 'scans/0002/smplx_param.pkl', None]
    assert read_scale(found[0]) == pytest.approx(0.44) and read_scale(found[1]) == 0.5


def test_fits_that_would_run_code_are_refused(tmp_path):
    path = tmp_path / 'smplx_param.pkl'
    for content, text in (
        (pickle.dumps(dict(scale=eval)), 'it holds builtins.eval'), (pickle.dumps(dict(a=1)), "'scale'"), (b'x', 'no readable'),
        (pickle.dumps(dict(scale=np.zeros(1))), 'the scale 0'),
    ):  # fmt: skip
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"the fit '.*smplx_param\.pkl' .*{text}"):
            read_scale(path)
