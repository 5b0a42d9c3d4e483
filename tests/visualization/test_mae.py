import numpy as np
import pytest

from sapiens.visualization import draw_reconstructions
from sapiens.visualization.labels import NOTHING
from sapiens.visualization.layout import GAP


def test_rows_show_original_masked_and_reconstructed():
    original, guess = np.full((64, 48, 3), 200, np.uint8), np.full((64, 48, 3), 30, np.uint8)
    mask = np.zeros((4, 3), bool)
    mask[1, 2] = True
    picture = draw_reconstructions([original, original], [mask, ~mask], [guess, guess], side=64)
    header = picture.shape[0] - 2 * (64 + GAP)
    assert picture.shape[1] == 3 * 48 + 2 * GAP and header > 0
    first = picture[header + GAP : header + GAP + 64]
    assert (first[:, :48] == 200).all() and (first[:, -48:] == 30).all()
    masked = first[:, 48 + GAP : 96 + GAP]
    assert (masked[16:32, 32:48] == NOTHING).all()
    assert (masked == NOTHING).all(axis=-1).sum() == 16 * 16
    second = picture[-64:, 48 + GAP : 96 + GAP]
    assert (second == NOTHING).all(axis=-1).sum() == 11 * 16 * 16


def test_images_are_resized_and_mismatched_masks_refused():
    image = np.zeros((1024, 768, 3), np.uint8)
    assert draw_reconstructions([image], [np.zeros((64, 48), bool)], [image], side=256).shape[1] == 3 * 192 + 2 * GAP
    small = np.zeros((128, 96, 3), np.uint8)
    assert draw_reconstructions([small], [np.zeros((8, 6), bool)], [small]).shape[1] == 3 * 288 + 2 * GAP
    with pytest.raises(ValueError, match='no rows'):
        draw_reconstructions([], [], [])
    with pytest.raises(ValueError, match='does not tile'):
        draw_reconstructions([image], [np.zeros((63, 48), bool)], [image])
