"""Which files are scans, and what is read from them."""

import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

pytest.importorskip('trimesh')

import trimesh

from sapiens.synthetic.scans import scan
from sapiens.synthetic.scans.files import find_scans, read_scan

from . import mannequin

SMALL = mannequin.build(6, 8)


def names(root):
    return [path.relative_to(root).as_posix() for path in find_scans(root)]


def test_the_finest_of_each_scan_is_taken(tmp_path):
    for name in (
        'rp_a_OBJ/rp_a_30k.obj', 'rp_a_OBJ/rp_a_100k.obj', 'rp_a_OBJ/rp_a.fbx', 'rp_b_OBJ/rp_b_100k.obj', '0001/0001.obj',
        '0001/mesh_smplx.obj', 'ply/x.PLY', 'deep/down/y.glb', '.hidden/z.obj', 'deep/.w.obj', 'rp_a_OBJ/rp_a_30k.ply',
    ):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    expected = ['0001/0001.obj', 'deep/down/y.glb', 'ply/x.PLY', 'rp_a_OBJ/rp_a_100k.obj', 'rp_a_OBJ/rp_a_30k.ply']
    assert names(tmp_path) == [*expected, 'rp_b_OBJ/rp_b_100k.obj']
    assert find_scans(tmp_path / 'ply/x.PLY') == [tmp_path / 'ply/x.PLY']


def test_folders_without_scans(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder of scans '.*nowhere'"):
        find_scans(tmp_path / 'nowhere')
    (tmp_path / 'a.jpg').touch()
    with pytest.raises(ValueError, match=r'no scans in .*no file at any depth ends in \.obj, \.ply'):
        find_scans(tmp_path)
    (tmp_path / 'mesh_smplx.obj').touch()
    with pytest.raises(ValueError, match='1 of a body model left out'):
        find_scans(tmp_path)
    with pytest.raises(ValueError, match='expected a mesh'):
        find_scans(tmp_path / 'a.jpg')


def color_at(mesh, part, shift=(0, 0, 0)):
    """8-bit sRGB in the middle of a part of the mannequin."""
    index = np.linalg.norm(mesh.vertices - SMALL.vertices[part * 48 + 20] - shift, axis=1).argmin()
    if mesh.uv is None:
        return mesh.colors[index]
    pixels = np.asarray(mesh.images[0].convert('RGB'))
    u, v = mesh.uv[index]
    return pixels[int((1 - v) * pixels.shape[0]), int(u * pixels.shape[1])]


def test_obj_with_image(tmp_path):
    mesh = read_scan(mannequin.write(tmp_path / 'a.obj', SMALL, up='z'))
    assert len(mesh.faces) == len(SMALL.faces)
    np.testing.assert_allclose(mesh.vertices[mesh.faces], SMALL.vertices[SMALL.faces] + [0.4, 0.2, 0.1], atol=1e-6)
    np.testing.assert_allclose(mesh.uv[mesh.faces], SMALL.uv[SMALL.faces], atol=1e-6)
    assert mesh.images[0].size == (64, 64) and mesh.tints == [(1.0, 1.0, 1.0)] and mesh.colors is None


@pytest.mark.parametrize(
    ('written', 'named'),
    [
        ('tex/skin_dif_8k.jpg', 'C:\\scans\\tex\\skin_dif.jpg'),
        ('tex/skin_dif.jpg', 'skin_dif.png'),
        ('Atlas-F00012.png', 'atlas-f00012.png'),
        ('my skin.png', '-s 1 1 1 my skin.png'),
        ('skin.png', '-bm 0.5 skin.png'),
    ],
)
def test_images_are_found_where_scans_keep_them(tmp_path, written, named):
    path = mannequin.write(tmp_path / 'a_100k.obj', SMALL, image=written, material='M.mtl')
    (tmp_path / 'M.mtl').write_text(f'newmtl skin\nmap_Kd {named}\n')
    if named.startswith('-s'):
        with pytest.raises(FileNotFoundError, match='names .*my skin.png'):
            read_scan(path)
        return
    mesh = read_scan(path)
    assert mesh.images[0].size == (64, 64)


def test_the_largest_of_several_sizes_and_the_usual_name_without_a_material(tmp_path):
    path = mannequin.write(tmp_path / 'rp_a_100k.obj', SMALL, image='tex/rp_a_dif_2k.png')
    large = np.zeros((128, 128, 3), np.uint8)
    Image.fromarray(large).save(tmp_path / 'tex/rp_a_dif_8k.png')
    path.with_suffix('.mtl').write_text('newmtl skin\nmap_Kd rp_a_dif.png\n')
    assert read_scan(path).images[0].size == (128, 128)
    path.with_suffix('.mtl').unlink()
    mesh = read_scan(path)
    assert mesh.images[0].size == (128, 128) and mesh.tints == [(1.0, 1.0, 1.0)]  # as bright as with a material


def test_missing_colors_are_named(tmp_path):
    path = mannequin.write(tmp_path / 'a.obj', SMALL)
    (tmp_path / 'a.png').unlink()
    with pytest.raises(FileNotFoundError, match=r"the scan '.*a\.obj' names 'a\.png', which is neither beside it"):
        read_scan(path)
    (tmp_path / 'a.mtl').write_text('newmtl skin\nKd 0.8 0.8 0.8\n')
    with pytest.raises(ValueError, match=r"'.*a\.obj' has no texture and no colors of vertices"):
        read_scan(path)
    mesh = read_scan(path, colors=False)
    assert (len(mesh.faces) == len(SMALL.faces) and mesh.uv is None) or not any(mesh.images)


def test_parts_without_colors_are_named(tmp_path):
    path = mannequin.write(tmp_path / 'a.obj', SMALL)
    start, last = path.read_text().partition('\nf ')[0], path.read_text().splitlines()[-1]
    path.write_text(f'{start}\nf 1/1 2/2 50/50\nusemtl cloth\n{last}\n')
    with pytest.raises(
        ValueError, match=r"'.*a\.obj' has triangles without colors: their material \(usemtl\) is not in"
    ):
        read_scan(path)
    assert len(read_scan(path, colors=False).faces) == 2
    # A material of one color, by itself or by an image of one pixel, is a color.
    (tmp_path / 'a.mtl').write_text('newmtl skin\nmap_Kd a.png\nnewmtl cloth\nKd 1 0 0\n')
    assert (1.0, 0.0, 0.0) in read_scan(path).tints
    Image.new('RGB', (1, 1)).save(tmp_path / 'b.png')
    (tmp_path / 'a.mtl').write_text('newmtl skin\nmap_Kd a.png\nnewmtl cloth\nmap_Kd b.png\n')
    assert {image.size for image in read_scan(path).images} == {(1, 1), (64, 64)}
    path.write_text(f'{start}\nf 1/1 2/2 50/50\nusemtl cloth\nf 1 2 50\n')
    with pytest.raises(
        ValueError, match=r"'.*a\.obj' has triangles without colors: their corners have no places \(vt\)"
    ):
        read_scan(path)


def test_broken_files_are_named(tmp_path):
    path = tmp_path / 'a.glb'
    path.write_bytes(b'not a mesh')
    with pytest.raises(ValueError, match=r"the scan '.*a\.glb' cannot be read"):
        read_scan(path)
    path = tmp_path / 'points.obj'
    path.write_text('v 0 0 0\nv 1 0 0\nv 0 1 0\n')
    with pytest.raises(ValueError, match=r"points\.obj' has no triangles"):
        read_scan(path)
    path.write_text('v nan 0 0 1 0 0\nv 1 0 0 1 0 0\nv 0 1 0 1 0 0\nf 1 2 3\n')
    with pytest.raises(ValueError, match=r"points\.obj' (has coordinates|cannot be read)"):
        read_scan(path)


def test_ply_and_glb_are_the_same_scan(tmp_path):
    source = read_scan(mannequin.write(tmp_path / 'a.obj', SMALL, up='z'))
    material = trimesh.visual.material.PBRMaterial(
        baseColorTexture=source.images[0], baseColorFactor=[255, 128, 255, 255]
    )
    visual = trimesh.visual.TextureVisuals(uv=source.uv, material=material)
    trimesh.Trimesh(source.vertices, source.faces, visual=visual, process=False).export(tmp_path / 'a.glb')
    made = read_scan(tmp_path / 'a.glb')
    np.testing.assert_allclose(made.vertices[made.faces], source.vertices[source.faces], atol=1e-6)
    np.testing.assert_allclose(made.uv[made.faces], source.uv[source.faces], atol=1e-6)
    np.testing.assert_allclose(made.tints[0], [1, 128 / 255, 1], atol=1e-3)
    for part in (0, 3, 9):
        np.testing.assert_array_equal(color_at(made, part, [0.4, 0.2, 0.1]), mannequin.COLORS[part])

    colors = np.repeat(mannequin.COLORS, 48, axis=0)
    trimesh.Trimesh(SMALL.vertices, SMALL.faces, vertex_colors=colors, process=False).export(tmp_path / 'a.ply')
    made = read_scan(tmp_path / 'a.ply')
    np.testing.assert_allclose(made.vertices, SMALL.vertices, atol=1e-6)
    expected = ((mannequin.COLORS[3] / 255 + 0.055) / 1.055) ** 2.4
    np.testing.assert_allclose(color_at(made, 3), expected, atol=1e-3)


def test_several_materials_are_one_mesh(tmp_path):
    path = mannequin.write(tmp_path / 'a.obj', SMALL)
    shutil.copy(tmp_path / 'a.png', tmp_path / 'b.png')
    (tmp_path / 'a.mtl').write_text('newmtl skin\nmap_Kd a.png\nnewmtl other\nmap_Kd b.png\n')
    lines = path.read_text().splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith('f '))
    lines.insert(first + 100, 'usemtl other')
    path.write_text('\n'.join(lines) + '\n')
    mesh = read_scan(path)
    assert len(mesh.faces) == len(SMALL.faces) and len(mesh.images) == 2
    assert sorted(np.bincount(mesh.material)) == sorted([100, len(SMALL.faces) - 100])
    assert mesh.faces.max() < len(mesh.vertices) == len(mesh.uv)


def test_images_that_are_none_are_named(tmp_path):
    """Of two materials one has a damaged image: the reader of meshes leaves it out without a word."""
    path = mannequin.write(tmp_path / 'a.obj', SMALL)
    (tmp_path / 'b.png').write_bytes(b'not an image')
    (tmp_path / 'a.mtl').write_text('newmtl skin\nmap_Kd a.png\nnewmtl other\nmap_Kd b.png\n')
    with pytest.raises(ValueError, match=r"a\.obj' has an image that cannot be read: '.*b\.png' \(.*\): replace it"):
        read_scan(path)
    assert len(read_scan(path, colors=False).faces) == len(SMALL.faces)


def test_triangles_and_places_that_cannot_be_are_named(tmp_path):
    path = tmp_path / 'a.ply'
    colors = np.repeat(mannequin.COLORS, 48, axis=0)
    trimesh.Trimesh(SMALL.vertices, SMALL.faces, vertex_colors=colors, process=False).export(path, encoding='ascii')
    lines = path.read_text().splitlines()
    path.write_text('\n'.join([*lines[:-1], '3 0 1 99999', '']))
    with pytest.raises(ValueError, match=r"a\.ply' is damaged: it has 480 vertices, and a triangle of vertex 99999"):
        read_scan(path)
    path = mannequin.write(tmp_path / 'a.obj', SMALL)
    path.write_text(path.read_text().replace('\nvt 0', '\nvt nan 0', 1))
    with pytest.raises(ValueError, match=r"a\.obj' (has coordinates that are not finite|cannot be read)"):
        read_scan(path)


def test_parts_of_a_scene_are_placed_and_stay_outside_out(tmp_path):
    """A file with a mesh twice, once moved and once mirrored."""
    mesh = trimesh.Trimesh(SMALL.vertices, SMALL.faces, process=False)
    mesh.visual.vertex_colors = np.repeat(mannequin.COLORS, 48, axis=0)
    scene = trimesh.Scene()
    scene.add_geometry(mesh, transform=trimesh.transformations.translation_matrix([0, 0, 2]))
    scene.add_geometry(mesh, transform=np.diag([-1.0, 1, 1, 1]))
    scene.export(tmp_path / 'a.glb')
    made = read_scan(tmp_path / 'a.glb')
    low, high = made.vertices.min(0), made.vertices.max(0)
    np.testing.assert_allclose(high[2] - low[2], np.ptp(SMALL.vertices[:, 2]) + 2, atol=1e-5)
    corners = made.vertices[made.faces]
    volume = np.linalg.det(corners).sum() / 6
    np.testing.assert_allclose(volume, 2 * np.linalg.det(SMALL.vertices[SMALL.faces]).sum() / 6, rtol=1e-4)


def test_large_jpeg_files_are_decoded_at_a_part_of_their_size(tmp_path, monkeypatch):
    path = mannequin.write(tmp_path / 'a.obj', SMALL, image='a.jpg')
    cv2.imwrite(str(tmp_path / 'a.jpg'), np.full((128, 96, 3), 90, np.uint8))
    monkeypatch.setattr(scan, '_LARGEST_IMAGE', 32)
    (image,) = read_scan(path).images
    assert scan._pixels(image).shape == (32, 24, 3) and image.size == (24, 32)
