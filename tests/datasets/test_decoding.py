import io

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin, features

from sapiens.datasets.transforms.decoding import BadImage, EncodedImage, resize
from sapiens.utils.image_files import HAS_HEIC

from .helpers import encode, photographs, smooth_image

RGB = smooth_image()


def whole(data, exact=True):
    image = EncodedImage(data)
    pixels, box = image.crop((0, 0, *image.size), (8, 8), exact)
    assert box == (0, 0, *image.size) or not exact
    return pixels


def pillow(data):
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert('RGB'))


@pytest.mark.parametrize('format', ['PNG', 'BMP', 'TIFF'])
def test_lossless_formats(format):
    assert np.array_equal(whole(encode(RGB, format)), RGB)
    assert np.array_equal(whole(encode(RGB, 'WEBP', lossless=True)), RGB)


@pytest.mark.skipif(not features.check('avif'), reason='Pillow without AVIF')
def test_avif_upright_and_transparent():
    data = encode(RGB, 'AVIF', quality=100, subsampling='4:4:4')
    assert np.array_equal(whole(data), pillow(data)) and abs(whole(data).astype(int) - RGB).max() <= 4
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = whole(encode(RGB, 'AVIF', quality=100, subsampling='4:4:4', exif=exif))
    assert abs(turned.astype(int) - np.rot90(RGB, -1)).max() <= 4
    clear = np.dstack([np.zeros_like(RGB), np.zeros(RGB.shape[:2], np.uint8)])
    assert (whole(encode(Image.fromarray(clear), 'AVIF', quality=100)) == 255).all()


def test_heic_names_the_package_that_reads_it():
    for brand in (b'heic', b'mif1'):
        with pytest.raises(
            BadImage, match='' if HAS_HEIC else 'HEIC needs pillow-heif: python -m pip install pillow-heif'
        ):
            EncodedImage(b'\0\0\0\x18ftyp' + brand + bytes(100))


@pytest.mark.parametrize(
    'options',
    [dict(quality=90), dict(quality=90, subsampling=0), dict(quality=90, subsampling=1), dict(progressive=True)],
)
def test_jpeg_equals_pillow(options):
    data = encode(RGB, **options)
    assert np.array_equal(whole(data), pillow(data))


def test_jpeg_colour_spaces_equal_pillow():
    grey = encode(Image.fromarray(RGB).convert('L'))
    assert np.array_equal(whole(grey), pillow(grey))
    cmyk = Image.fromarray(RGB).convert('CMYK')
    plain = encode(cmyk)
    # Pillow writes the Adobe marker and, as Adobe does, inverted inks.
    assert b'Adobe' in plain and np.array_equal(whole(plain), pillow(plain))
    assert abs(whole(plain).astype(int) - RGB).mean() < 6
    rgb = encode(RGB, keep_rgb=True)  # stored without YCbCr
    assert np.array_equal(whole(rgb), pillow(rgb)) and abs(whole(rgb).astype(int) - RGB).mean() < 6


def test_palette_gif_bilevel():
    palette = Image.fromarray(RGB).quantize(64)
    expected = np.asarray(palette.convert('RGB'))
    assert np.array_equal(whole(encode(palette, 'PNG')), expected)
    second = Image.fromarray(255 - RGB).quantize(64)
    assert np.array_equal(whole(encode(palette, 'GIF', save_all=True, append_images=[second])), expected)
    bilevel = Image.fromarray(RGB).convert('1')
    assert np.array_equal(whole(encode(bilevel, 'PNG')), np.asarray(bilevel.convert('RGB')))


@pytest.mark.parametrize('format', ['PNG', 'TIFF'])
def test_16_bit_grey_keeps_its_range(format):
    values = np.linspace(0, 65535, 96 * 64).reshape(64, 96).astype(np.uint16)
    pixels = whole(encode(Image.fromarray(values), format))
    assert np.array_equal(pixels, np.repeat((values >> 8).astype(np.uint8)[..., None], 3, 2))


def test_alpha_is_composited_on_white():
    alpha = np.zeros((64, 96), np.uint8)
    alpha[:, 32:64], alpha[:, 64:] = 128, 255
    for format in ('PNG', 'TIFF'):
        pixels = whole(encode(np.dstack([RGB, alpha]), format)).astype(int)
        assert (pixels[:, :32] == 255).all()
        assert abs(pixels[:, 32:64] - (RGB[:, 32:64] / 2 + 127.5)).max() <= 2
        assert np.array_equal(pixels[:, 64:], RGB[:, 64:])
    grey = whole(encode(np.dstack([RGB[..., 0], alpha]), 'PNG'))
    assert (grey[:, :32] == 255).all() and np.array_equal(grey[:, 64:, 1], RGB[:, 64:, 0])


def test_transparent_palette_and_colour_key_are_white():
    palette = Image.fromarray(np.array([[0, 1, 2]], np.uint8)).convert('P')
    palette.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    for format in ('PNG', 'GIF'):
        pixels = whole(encode(palette, format, transparency=1))
        assert pixels.tolist() == [[[10, 20, 30], [255, 255, 255], [70, 80, 90]]]
    keyed = whole(encode(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8), 'PNG', transparency=(1, 2, 3)))
    assert keyed.tolist() == [[[255, 255, 255], [4, 5, 6]]]


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('format', ['JPEG', 'PNG', 'WEBP', 'TIFF'])
def test_exif_orientations(format, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = smooth_image(480, 320)
    data = encode(picture, format, exif=exif, **(dict(lossless=True) if format == 'WEBP' else {}))
    upright = pillow(data)
    image = EncodedImage(data)
    assert image.size == upright.shape[1::-1]
    x, y, w, h = box = 25, 45, 200, 165
    pixels, cropped = image.crop(box, (8, 8), exact=True)
    assert cropped == box and np.array_equal(pixels, upright[y : y + h, x : x + w])
    if format == 'JPEG':  # the early stop follows the stored rows
        fast, _ = image.crop(box, (300, 300), exact=False)
        assert abs(fast.astype(int) - upright[y : y + h, x : x + w]).mean() < 1
        # A reduced crop is where it says it is.
        reduced, (x, y, w, h) = image.crop(box, (90, 80), exact=False)
        assert reduced.shape[:2] == (h // 2, w // 2)
        expected = resize(np.ascontiguousarray(upright[y : y + h, x : x + w]), (w // 2, h // 2))
        assert abs(reduced.astype(int) - expected).mean() < 1


def test_unreadable_orientation_is_ignored():
    exif = Image.Exif()
    exif[0x0112] = 77
    data = encode(RGB, exif=exif)
    assert np.array_equal(whole(data), np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize('progressive', [False, True])
@pytest.mark.parametrize('subsampling', [0, 1, 2])
def test_early_stop_gives_the_same_pixels(progressive, subsampling):
    data = encode(smooth_image(203, 301, 3), quality=90, progressive=progressive, subsampling=subsampling)
    for size, exact in [((400, 400), False), ((150, 1), False), ((150, 1), True)]:
        full, _ = EncodedImage(data).crop((0, 0, 203, 301), size, exact)
        assert np.array_equal(full, pillow(data)) or size == (150, 1)
        for rows in (1, 30, 31, 32, 33, 100, 290, 301):
            part, box = EncodedImage(data).crop((7, 0, 190, rows), size, exact)
            assert box == (7, 0, 190, rows) and np.array_equal(part, full[:rows, 7:197])
    full, _ = EncodedImage(data).crop((0, 0, 200, 300), (50, 1), exact=False)
    for rows in (4, 32, 36, 100, 296):
        part, box = EncodedImage(data).crop((0, 0, 200, rows), (50, 1), exact=False)
        assert box == (0, 0, 200, rows) and np.array_equal(part, full[: rows // 4]) and len(part) == rows // 4


def test_reduction_leaves_the_crop_large_enough():
    data = encode(smooth_image(1600, 1200))
    for want, shape in [
        ((400, 300), (300, 400)),
        ((401, 300), (600, 800)),
        ((888, 10), (600, 800)),
        ((800, 600), (600, 800)),
        ((890, 600), (1200, 1600)),
    ]:
        pixels, _ = EncodedImage(data).crop((0, 0, 1600, 1200), want, exact=False)
        assert pixels.shape[:2] == shape
    assert EncodedImage(data).crop((0, 0, 1600, 1200), (200, 150), exact=False)[0].shape[:2] == (150, 200)
    assert EncodedImage(data).crop((0, 0, 1600, 1200), (200, 150), exact=True)[0].shape[:2] == (1200, 1600)


@pytest.mark.parametrize('box', [(0, 0, 1023, 767), (3, 5, 1000, 700), (23, 68, 1000, 699), (1, 1, 1022, 766)])
def test_reduced_boxes_stay_inside(box):
    pixels, (x, y, w, h) = EncodedImage(encode(smooth_image(1023, 767))).crop(box, (100, 80), exact=False)
    factor = w // pixels.shape[1]
    assert factor > 1 and pixels.shape[:2] == (h // factor, w // factor)
    assert x >= 0 and y >= 0 and x + w <= 1023 and y + h <= 767
    assert max(abs(a - b) for a, b in zip(box, (x, y, w, h), strict=True)) < 8


def test_fast_decode_of_photographs_stays_close():
    differences = []
    for path in photographs():
        source = Image.open(path).convert('RGB')
        if min(source.size) < 400:
            continue
        scale = max(2100 / source.width, 2100 / source.height)
        large = source.resize((round(source.width * scale), round(source.height * scale)), Image.BICUBIC)
        image = EncodedImage(encode(large, quality=90, subsampling=2))
        box = (11, 13, 1901, 1903)
        pixels, (x, y, w, h) = image.crop(box, (1024, 1024), exact=False)
        assert pixels.shape[0] in (950, 951, 952)
        exact, _ = image.crop((x, y, w, h), (1024, 1024), exact=True)
        reference = np.asarray(Image.fromarray(exact).resize((1024, 1024), Image.BICUBIC)).astype(int)
        differences.append(abs(resize(pixels, (1024, 1024)) - reference).mean())
    assert max(differences) < 2


@pytest.mark.parametrize('size', [(50, 40), (200, 31), (96, 64)])
def test_resize_equals_pillow(size):
    for interpolation, code in (('bicubic', Image.BICUBIC), ('bilinear', Image.BILINEAR)):
        expected = np.asarray(Image.fromarray(RGB).resize(size, code)).astype(int)
        view = np.concatenate([RGB, RGB], axis=1)[:, : RGB.shape[1]]  # not contiguous, as crops are
        difference = abs(resize(view, size, interpolation) - expected)
        assert difference.max() <= 2 and difference.mean() < 0.1
        assert (difference > 0).mean() < 0.1


BAD = {
    'empty': (b'', 'empty file'),
    'text': (b'<html>404</html>', 'not an image'),
    'truncated jpeg': (encode(RGB)[:-200], 'truncated'),
    'cut header': (encode(RGB)[:100], ''),
    'truncated progressive': (encode(RGB, progressive=True)[:-200], 'truncated'),
    'truncated png': (encode(RGB, 'PNG')[:-3000], 'truncated'),
    'jpeg with a zero tail': (encode(RGB)[:-600] + bytes(600), ''),
    'float tiff': (encode(Image.fromarray(RGB[..., 0].astype(np.float32)), 'TIFF'), 'no defined white'),
}


@pytest.mark.parametrize('name', [name for name in BAD if name != 'jpeg with a zero tail'])
@pytest.mark.parametrize('exact', [True, False])
def test_bad_files(name, exact):
    data, reason = BAD[name]
    with pytest.raises(BadImage, match=reason) as refused:
        image = EncodedImage(data)
        # Only the top is asked for: what is missing below it makes the file bad all the same.
        image.crop((0, 0, image.size[0], 8), (300, 300), exact)
    assert 'OSError' not in str(refused.value)


def test_too_large_images_are_refused_before_decoding():
    bomb = encode(Image.new('1', (20000, 10000)), 'PNG')
    with pytest.raises(BadImage, match='20000 x 10000 pixels are more than the limit of 150 megapixels|bomb'):
        EncodedImage(bomb)
    with pytest.raises(BadImage, match='limit of 0.006 megapixels'):
        EncodedImage(encode(RGB), max_megapixels=0.006)
    assert EncodedImage(encode(RGB), max_megapixels=0.0062).size == (96, 64)


def test_stray_bytes_are_tolerated_as_pillow_does():
    data = encode(RGB)
    stray = data[:-2] + b'\x12\x34' + data[-2:]
    assert np.array_equal(whole(stray), pillow(stray))


def test_plain_pngs_are_decoded_fast_and_others_as_ever(monkeypatch):
    import sapiens.datasets.transforms.decoding as module

    image = smooth_image(40, 30)
    fast = []
    original = module._decode_png
    monkeypatch.setattr(module, '_decode_png', lambda data: fast.append(original(data)) or fast[-1])

    def is_fast(data):
        made = EncodedImage(data)
        wanted = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
        wanted = np.asarray(
            (Image.alpha_composite(Image.new('RGBA', wanted.size, 'white'), wanted.convert('RGBA'))).convert('RGB')
        )
        assert np.array_equal(made.crop((0, 0, *made.size), made.size, True)[0], wanted)
        return fast[-1] is not None

    assert is_fast(encode(image, 'PNG')) and is_fast(encode(image[..., 0], 'PNG'))
    assert not is_fast(encode(np.dstack([image, image[..., :1]]), 'PNG'))
    assert not is_fast(encode(Image.fromarray(image).quantize(8), 'PNG'))
    assert not is_fast(encode(image, 'PNG', transparency=tuple(image[0, 0].tolist())))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encode(image, 'PNG', exif=exif)
    assert not is_fast(turned) and EncodedImage(turned).size == (30, 40)
    text = PngImagePlugin.PngInfo()
    text.add_text('Software', 'a program')
    assert is_fast(encode(image, 'PNG', pnginfo=text))
    text.add_text('Raw profile type exif', 'x')
    assert not is_fast(encode(image, 'PNG', pnginfo=text))
    data = encode(image, 'PNG')
    for broken in (data[: len(data) // 2], data[:200] + bytes([data[200] ^ 1]) + data[201:]):
        assert original(broken) is None
    with pytest.raises(BadImage):
        EncodedImage(data[: len(data) // 2])
