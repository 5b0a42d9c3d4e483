"""People as centers with boxes: targets, losses, decoding, and the estimator around them."""

import math

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from sapiens.apis.detectors import suppress
from sapiens.models import BoxEstimator, BoxGIoULoss, BoxL1Loss, CenterBoxes, CenterFocalLoss, CenterHead
from sapiens.models.codecs.center_boxes import IGNORED, PERSON, box_overlaps, suppress_boxes
from sapiens.structures import DenseDataSample
from sapiens.utils.boxes import transform_boxes

ARCH = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
HEAD = dict(type='CenterHead', reduced_channels=16, deconv_channels=(8, 8), conv_channels=(8,))
SIZE, CELLS = (96, 64), (24, 16)  # (w, h) of the input, (W, H) of the map: cells of 4 pixels


def labels(*rows, count=6):
    """Boxes (1, M, 4) and kinds (1, M) of (x1, y1, x2, y2, kind)."""
    boxes, kinds = torch.zeros(1, count, 4), torch.zeros(1, count, dtype=torch.uint8)
    for index, (*box, kind) in enumerate(rows):
        boxes[0, index], kinds[0, index] = torch.tensor(box, dtype=torch.float32), kind
    return boxes, kinds


def targets(*rows):
    return CenterBoxes().targets(*labels(*rows), SIZE, CELLS)


def perfect(found):
    """The output of a network that gives the targets."""
    return torch.cat([torch.logit(found.heat.clamp(1e-5, 1 - 1e-5)), found.distances.log()], 1)


def test_targets_of_one_person():
    found = targets((20, 10, 40, 50, PERSON))  # cells: x 5 to 10, y 2.5 to 12.5, center (7.5, 7.5)
    assert found.heat[0, 0].max() == 1 and found.heat[0, 0, 7, 7] == 1 and (found.heat == 1).sum() == 1
    # The Gaussian is longer along the longer side, with these deviations.
    x, y = (0.54 * 5 + 1) / 6, (0.54 * 10 + 1) / 6
    assert found.heat[0, 0, 7, 8].item() == pytest.approx(math.exp(-0.5 / x**2), rel=1e-5)
    assert found.heat[0, 0, 9, 7].item() == pytest.approx(math.exp(-2 / y**2), rel=1e-5)
    assert found.distances[0, :, 7, 7].tolist() == [2.5, 5, 2.5, 5]
    assert found.distances[0, :, 8, 7].tolist() == [2.5, 6, 2.5, 4]
    assert found.weights.sum().item() == pytest.approx(1) and found.weights[0, 7, 7] == found.weights.max()
    assert found.counted.all()


def test_ignored_boxes_are_neither_people_nor_background():
    crowd = (20, 10, 60, 50, IGNORED)
    found = targets(crowd)
    assert not found.heat.any() and not found.weights.any()
    assert (~found.counted).nonzero()[:, 1:].aminmax(dim=0).min.tolist() == [2, 5]
    assert (~found.counted).sum() == 10 * 11 and not found.counted[0, 7, 9]
    # A person in a crowd keeps the center.
    found = targets(crowd, (30, 20, 40, 40, PERSON))
    assert found.counted[0, 7, 8] and found.heat[0, 0, 7, 8] == 1 and not found.counted[0, 7, 9]
    # Smaller than a cell: the cells around its center, whatever the place.
    assert not targets((41, 41, 42, 42, IGNORED)).counted[0, 10, 10]


def test_rows_without_a_person_and_images_without_people():
    found = targets()
    assert not found.heat.any() and not found.weights.any() and found.counted.all()
    assert found.distances.eq(1).all()


def test_each_person_weighs_the_same_and_the_nearest_owns_a_cell():
    found = targets((4, 4, 90, 60, PERSON), (40, 24, 56, 40, PERSON), (8, 8, 16, 16, PERSON))
    assert found.weights.sum().item() == pytest.approx(3, rel=1e-5)
    assert found.heat.eq(1).sum() == 3
    # The centers of the first two are a cell apart in x; each has its own distances.
    assert found.distances[0, :, 8, 11].tolist() == [10.5, 7.5, 11, 6.5]
    assert found.distances[0, :, 8, 12].tolist() == [2.5, 2.5, 1.5, 1.5]


def test_decoding_inverts_the_targets():
    rows = torch.tensor([[4.0, 4, 30, 60], [40, 24, 56, 40], [70, 2, 95, 63], [8, 50, 20, 58]])
    found = targets(*[(*row.tolist(), PERSON) for row in rows])
    codec = CenterBoxes()
    boxes, scores = codec.decode(*codec.boxes(perfect(found), SIZE), SIZE, 10, 0.6)
    assert boxes.shape == (1, 10, 4) and scores.shape == (1, 10)
    best = boxes[0, scores[0] > 0.99]
    assert len(best) == 4
    assert torch.cdist(rows, best).amin(1).max() < 1e-3
    assert (scores[0].diff() <= 0).all()
    # More rows are asked for than cells are there.
    assert codec.decode(*codec.boxes(perfect(found), SIZE), SIZE, 10_000, 0.6)[1].shape == (1, 24 * 16)


def test_two_peaks_of_one_person_are_one_box():
    """The second peak, three cells away, has the same box."""
    output = perfect(targets((8, 8, 64, 56, PERSON)))
    output[0, 0, 8, 12] = 2.0
    output[0, 1:, 8, 12] = torch.tensor([10.5, 6.5, 3.5, 5.5]).log()
    codec = CenterBoxes()
    for threshold, count in ((0.6, 1), (1.0, 2)):
        _, scores = codec.decode(*codec.boxes(output, SIZE), SIZE, 10, threshold)
        assert (scores > 0.5).sum() == count


def test_boxes_are_clipped_to_the_input():
    output = torch.full((1, 5, 16, 24), math.log(100.0))
    boxes, _ = CenterBoxes().decode(*CenterBoxes().boxes(output, SIZE), SIZE, 3, 1.0)
    assert boxes[0].tolist() == [[0, 0, 96, 64]] * 3


@pytest.mark.parametrize('threshold', [0.2, 0.5, 0.8])
def test_suppression_in_rounds_is_that_of_one_box_after_the_other(threshold):
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        low = torch.rand(1, 60, 2, generator=generator) * 60
        boxes = torch.cat([low, low + 10 + 30 * torch.rand(1, 60, 2, generator=generator)], 2)
        wanted = np.zeros(60)
        wanted[suppress(boxes[0].numpy(), -np.arange(60.0), threshold, border=0)] = 1
        assert suppress_boxes(boxes, threshold)[0].tolist() == wanted.tolist()


def test_suppression_counts_chains():
    """Of a, b, c of which b overlaps both others, a and c stay."""
    boxes = torch.tensor([[[0.0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]]])
    assert suppress_boxes(boxes, 0.3).tolist() == [[1, 0, 1]]
    assert suppress_boxes(boxes, 0.5).tolist() == [[1, 1, 1]]
    assert box_overlaps(boxes, boxes)[0, 0].tolist() == pytest.approx([1, 60 / 140, 20 / 180])


# ---------------------------------------------------------------------- losses


def test_focal_loss_of_centers_by_hand():
    heat = torch.tensor([[[[1.0, 0.5], [0.0, 0.0]]]])
    output = torch.tensor([[[[0.0, 1.0], [-2.0, 5.0]]]])
    valid = torch.tensor([[[True, True], [True, False]]])
    p = output[0, 0].sigmoid()
    wanted = -((1 - p[0, 0]) ** 2) * p[0, 0].log() - 0.5**4 * p[0, 1] ** 2 * (1 - p[0, 1]).log()
    wanted -= p[1, 0] ** 2 * (1 - p[1, 0]).log()
    assert CenterFocalLoss(loss_weight=2.0)(output, heat, valid).item() == pytest.approx(2 * wanted.item(), rel=1e-5)
    # What is not valid has no effect, and two people halve the loss of all.
    output[0, 0, 1, 1] = -100
    assert CenterFocalLoss()(output, heat, valid).item() == pytest.approx(wanted.item(), rel=1e-5)
    twice = CenterFocalLoss()(output.repeat(2, 1, 1, 1), heat.repeat(2, 1, 1, 1), valid.repeat(2, 1, 1))
    assert twice.item() == pytest.approx(wanted.item(), rel=1e-5)
    nobody = CenterFocalLoss()(output, torch.zeros_like(heat), torch.zeros_like(valid))
    assert nobody == 0
    assert CenterFocalLoss()(output.fill_(1e4).half(), heat, valid).isfinite()


def test_box_losses_by_hand():
    weights = torch.tensor([[[0.25, 0.75], [0.0, 0.0]]])
    target = torch.full((1, 4, 2, 2), 2.0)
    output = target.clone()
    assert BoxGIoULoss()(output, target, weights) == 0 == BoxL1Loss()(output, target, weights)
    output[0, 0, 0, 0] = 6.0  # 4x4 inside 8x4: IoU 1/2, no empty space
    output[0, :, 1] = 77.0  # of weight 0
    assert BoxGIoULoss()(output, target, weights).item() == pytest.approx(0.25 * 0.5)
    assert BoxL1Loss(loss_weight=3.0)(output, target, weights).item() == pytest.approx(3 * 0.25 * math.log(3) / 4)
    output[0, :, 0, 0] = torch.tensor([1.0, 1, 8, 1])  # 9x2 beside 4x4: shares 3x2, and the box around both is 10x4
    shared, union, around = 6, 16 + 18 - 6, 40
    wanted = 1 - shared / union + (around - union) / around
    assert BoxGIoULoss()(output, target, weights).item() == pytest.approx(0.25 * wanted)
    assert BoxGIoULoss()(output, target, torch.zeros_like(weights)) == 0


# ---------------------------------------------------------------------- estimator


def build(**options):
    backbone = dict(type='SapiensViT', arch=ARCH, img_size=SIZE[::-1])
    torch.manual_seed(0)
    model = BoxEstimator(backbone, HEAD, **options)
    model.init_weights()
    return model


def sample(*rows, **metainfo):
    made = DenseDataSample(metainfo=metainfo)
    boxes, kinds = labels(*rows)
    made.gt_instance_labels = InstanceData(boxes=boxes, box_kinds=kinds)
    return made


ROWS = (4, 4, 30, 60, PERSON), (41, 24, 57, 40, PERSON), (60, 0, 96, 30, IGNORED)


def test_gradients_reach_every_parameter_also_without_people():
    model = build(losses=[dict(type='CenterFocalLoss'), dict(type='BoxGIoULoss'), dict(type='BoxL1Loss')]).train()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.02)
    losses = model.loss(torch.randn(2, 3, *SIZE[::-1]), [sample(*ROWS), sample()])
    assert list(losses) == ['loss_center', 'loss_box', 'loss_box_l1', 'center_score']
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    assert all(
        value.grad is not None and value.grad.abs().sum() > 0 for value in model.parameters() if value.requires_grad
    )
    model.zero_grad()
    losses = model.loss(torch.randn(1, 3, *SIZE[::-1]), [sample()])
    assert losses['loss_box'] == 0 < losses['loss_center'] and losses['center_score'] == 0
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    assert all(value.grad is not None for value in model.parameters() if value.requires_grad)


def test_first_outputs_are_rare_centers_of_boxes_of_a_few_cells():
    head = CenterHead(32, 5, 16, (8, 8), (8,), prior=0.02)
    head.init_weights()
    output = head(torch.randn(2, 32, 4, 6))
    assert output.shape == (2, 5, 16, 24)
    assert output[:, 0].sigmoid().mean().item() == pytest.approx(0.02, rel=0.2)
    assert output[:, 1:].exp().mean().item() == pytest.approx(6, rel=0.1)
    torch.testing.assert_close(head.eval().requires_grad_(False)(torch.ones(1, 32, 4, 6)).shape[2:], (16, 24))


class Fixed(torch.nn.Module):
    """A network whose output follows from the first column of the image: the targets of some people, or of their mirror image."""

    def __init__(self, rows):
        super().__init__()
        mirrored = [(SIZE[0] - x2, y1, SIZE[0] - x1, y2, kind) for x1, y1, x2, y2, kind in rows]
        self.outputs = perfect(targets(*rows)), perfect(targets(*mirrored))

    def __call__(self, inputs, channels=None):
        return torch.cat([self.outputs[int(image[0, 0, 0] < image[0, 0, -1])] for image in inputs])


def test_predictions_are_in_pixels_of_the_image():
    model = build().eval()
    model.replace_network(Fixed(ROWS[:2]))
    image = torch.zeros(1, 3, *SIZE[::-1])
    image[..., 0] = 1
    truth = np.array([row[:4] for row in ROWS[:2]], float)
    # The input shows the image at half its size, 10 pixels from the left and 6 from the top.
    matrix = np.array([[0.5, 0, 10 - 0.25], [0, 0.5, 6 - 0.25]])
    for flip_test in (False, True):
        (found,) = model.predict(
            image, [sample(*ROWS, ori_shape=(120, 150), warp_matrix=matrix)], flip_test=flip_test, losses=True
        )
        good = found.pred_instances.scores > 0.9
        boxes = found.pred_instances.bboxes[good]
        assert found.pred_instances.bboxes.dtype == np.float32 and found.pred_instances.scores.dtype == np.float32
        wanted = (truth - np.array([10, 6, 10, 6])) * 2
        np.testing.assert_allclose(boxes[np.argsort(boxes[:, 0])], np.clip(wanted, 0, [150, 120, 150, 120]), atol=0.01)
        np.testing.assert_allclose(transform_boxes(wanted, matrix), truth, atol=1e-9)
        assert 0 < found.loss < 0.1
    (found,) = model.predict(image, [DenseDataSample(metainfo=dict(ori_shape=(128, 192)))])  # stretched by 2
    good = found.pred_instances.scores > 0.9
    np.testing.assert_allclose(np.sort(found.pred_instances.bboxes[good], 0), np.sort(truth * 2, 0), atol=0.02)
    (found,) = model.predict(image, [DenseDataSample()], max_people=1)
    assert len(found.pred_instances.scores) == 1
    (found,) = model.predict(image, [DenseDataSample()], score_threshold=1.0)
    assert found.pred_instances.bboxes.shape == (0, 4)


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        (dict(test_cfg=dict(max_people=0)), 'max_people=0: expected 1 or more'),
        (dict(test_cfg=dict(nms_threshold=2)), 'nms_threshold=2: expected 0 to 1'),
        (dict(test_cfg=dict(score_thr=0.1)), "unknown key 'score_thr'; did you mean 'score_threshold'"),
        (dict(losses=[dict(type='BoxL1Loss'), dict(type='BoxL1Loss')]), 'losses have the names box_l1, box_l1'),
        (dict(codec=dict(type='CenterBoxes', alpha=0)), 'alpha=0: expected a fraction'),
    ],
)
def test_wrong_options_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        build(**options)
    with pytest.raises(ValueError, match='prior=1: expected a probability'):
        CenterHead(8, 5, prior=1)
    with pytest.raises(ValueError, match='head.out_channels=4 contradicts 5, which follows from the codec'):
        BoxEstimator(dict(type='SapiensViT', arch=ARCH, img_size=(64, 96)), dict(HEAD, out_channels=4))
