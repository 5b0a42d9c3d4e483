"""Boxes of people that parts refine."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sapiens.apis.detectors.refine import RefinedByParts, box_of_person


class Bright:
    """A segmentation whose people are bright pixels, on a map of a fourth of the size. Counts the crops that it sees."""

    backbone = SimpleNamespace(img_size=(128, 96))
    data_preprocessor = SimpleNamespace(normalize=lambda pixels: pixels)

    def __init__(self):
        self.crops = 0

    def __call__(self, inputs):
        self.crops += len(inputs)
        person = F.avg_pool2d(inputs.mean(1, keepdim=True), 4) / 255
        return torch.cat([torch.zeros_like(person), 16 * (person - 0.5)], 1)


def refined(boxes, scores, **options):
    predictor = SimpleNamespace(network=Bright(), batch_size=2, device='cpu')
    found = [(np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32))]
    detector = RefinedByParts(lambda images: found * len(images), predictor, **options)
    return detector, predictor.network


def picture(*people, size=(400, 300)):
    image = np.zeros((size[1], size[0], 3), np.uint8)
    for x1, y1, x2, y2 in people:
        image[y1:y2, x1:x2] = 255
    return image


def test_the_box_of_the_largest_region():
    person = np.zeros((8, 6), np.float32)
    person[1:5, 2:4] = 0.9  # 8 cells
    person[7, 5] = 0.8
    person[7, 0] = 0.4  # no region, but like a person
    box, quality = box_of_person(person)
    assert box.tolist() == [2, 1, 4, 5]
    assert quality == pytest.approx(0.9 * (8 * 0.9) / (8 * 0.9 + 0.8 + 0.4), rel=1e-6)
    assert box_of_person(np.full((8, 6), 0.5, np.float32))[1] == 0.0


@pytest.mark.parametrize('shift', [(0, 0), (23, -11), (-160, 40)])
def test_boxes_move_to_the_person(shift):
    """Within a cell: a map of 24 cells is 1.25 times as wide as the box. Everything moves with the person."""
    person = np.array([180, 90, 230, 210])
    person[[0, 2]] += shift[0]
    person[[1, 3]] += shift[1]
    given = person + np.array([-20, 8, 10, 30])
    detector, _ = refined([given], [0.5])
    ((boxes, scores),) = detector([picture(person)])
    cell = 1.25 * max((given[2] - given[0]) / 24, (given[3] - given[1]) / 32)
    assert np.abs(boxes[0] - person).max() <= cell and np.abs(given - person).max() > 3 * cell
    assert 0.6 < scores[0] <= math.sqrt(0.5)


def test_a_box_between_people_is_worth_less():
    left, right = (100, 90, 140, 210), (220, 90, 260, 210)
    detector, _ = refined([(95, 85, 145, 215), (95, 85, 265, 215)], [0.5, 0.5])
    ((boxes, scores),) = detector([picture(left, right)])
    assert scores[1] < 0.8 * scores[0]
    assert boxes[1, 2] - boxes[1, 0] < 60  # one of the two, not both


def test_people_end_at_the_border():
    """The crop is black beyond it."""
    detector, _ = refined([(-10, 200, 60, 320)], [0.9])
    ((boxes, _),) = detector([picture((0, 210, 50, 300))])
    cell = 1.25 * 120 / 32
    assert abs(boxes[0, 0]) < cell and abs(boxes[0, 3] - 300) < cell


def test_what_cannot_count_is_not_looked_at():
    person, nobody = (100, 90, 140, 210), (300, 50, 350, 150)
    boxes, scores = [person, nobody, person, person], [0.2, 0.9, 0.08, 0.3]
    detector, network = refined(boxes, scores, threshold=0.3)  # 0.09 is the least that can reach it
    ((_, found),) = detector([picture(person)])
    assert network.crops == 3 and len(found) == 2  # nobody is in the best one
    assert found.tolist() == sorted(found.tolist(), reverse=True)
    detector, network = refined(boxes, scores, most=2)
    assert len(detector([picture(person)])[0][0]) == 1 and network.crops == 2
    detector, network = refined([], [])
    ((found, scores),) = detector([picture()])
    assert found.shape == (0, 4) and scores.shape == (0,) and not network.crops
    with pytest.raises(ValueError, match='most=0: expected 1 or more boxes'):
        refined([], [], most=0)
