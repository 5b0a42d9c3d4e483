"""Golden values of the published system, measured by running its code on CPU (torch 2.13) with weights made by a formula.

Every tensor of a state dict is filled by :func:`golden_weights` from its key alone, so no files are needed.
"""

import torch
from torch import nn

TINY_ARCH = dict(embed_dims=32, num_layers=2, num_heads=4, feedforward_channels=128)

# (row, column) -> value of the (1, 4097, 1024) sine-cosine table of a 64x64 grid with class token
SINCOS = {
    (1, 0): 0.0,
    (1, 256): 1.0,
    (2, 0): 0.0,
    (2, 256): 1.0,
    (2, 512): 0.8414709568023682,
    (65, 0): 0.8414709568023682,
    (65, 256): 0.5403023362159729,
    (65, 512): 0.0,
    (65, 768): 1.0,
    (66, 1): 0.8218562006950378,
    (130, 3): 0.9748882055282593,
    (4096, 1023): 0.9999786615371704,
}
SINCOS_SUM, SINCOS_ABS_SUM = 1601104.0877745356, 2446593.3943243492

# the same resized to a 64x48 grid without class token
RESIZED = {
    (0, 0): 0.0,
    (1, 0): 0.0,
    (47, 256): 1.0,
    (48, 512): 0.11958911269903183,
    (49, 768): 0.07277911901473999,
    (3071, 1023): 0.9999788403511047,
}
RESIZED_SUM, RESIZED_ABS_SUM = 1200811.080326627, 1836168.224045738

# patch padding -> (first five values, sum, sum of magnitudes) of the (1, 32, 4, 3) feature map of a 64x48 image
VIT = {
    0: (
        [0.0990828275680542, -0.0039861369878053665, 0.30348843336105347, -0.7683591246604919, 0.35923296213150024],
        0.829107563913567,
        310.81595795729096,
    ),
    2: (
        [0.3238230049610138, -0.22737756371498108, 0.2119552344083786, -0.637260377407074, 0.5971179008483887],
        0.8484845025232062,
        314.4218752546003,
    ),
}

MAE_NOISE = [
    0.0,
    0.4375,
    0.875,
    0.3125,
    0.75,
    0.1875,
    0.625,
    0.0625,
    0.5,
    0.9375,
    0.375,
    0.8125,
    0.25,
    0.6875,
    0.125,
    0.5625,
]
MAE_MASK = [0, 1, 1, 1, 1, 0, 1, 0, 1, 1, 1, 1, 1, 1, 0, 1]
MAE_PRED_FIRST = [
    0.006599631160497665,
    -0.03965619578957558,
    -0.0379689559340477,
    -0.022269941866397858,
    -0.02695053070783615,
]
MAE_LOSS_NORM_PIX, MAE_LOSS_NO_NORM_PIX = 1.1617578268051147, 0.24561534821987152


@torch.no_grad()
def golden_weights(module: nn.Module) -> None:
    """Fill every tensor of the state dict: flat value i = 0.05 sin(0.7 i + h), h = (sum of the key's character codes)
    mod 17, computed in float64; +1 for keys ending in ln1.weight or ln2.weight."""
    for key, value in module.state_dict().items():
        phase = sum(map(ord, key)) % 17
        flat = 0.05 * torch.sin(0.7 * torch.arange(value.numel(), dtype=torch.float64) + phase)
        if key.endswith(('ln1.weight', 'ln2.weight')):
            flat += 1
        value.copy_(flat.float().view_as(value))


def golden_image(height: int, width: int) -> torch.Tensor:
    """(1, 3, height, width): flat index mod 97, over 97, minus 0.5."""
    flat = torch.arange(3 * height * width) % 97
    return (flat / 97 - 0.5).view(1, 3, height, width)


# The decoder that the MAE values were measured with. Encoder and decoder were filled separately, each with its own keys.
TINY_DECODER = dict(num_layers=2, embed_dims=16, num_heads=4)

# Pose head of five keypoints, two deconvolutions and two convolutions of 16 channels, on the features of VIT[2]:
# first five values, sum and sum of magnitudes of the (1, 5, 16, 12) maps.
POSE_HEAD = (
    [
        -0.026317715644836426,
        -0.025335758924484253,
        -0.03251878172159195,
        -0.018080638721585274,
        -0.02035168744623661,
    ],
    -21.71548226987943,
    40.57742624124512,
)

# UDP heatmaps of 192 x 256 cells for an input of 768 x 1024 pixels, sigma 6: keypoints, and what they become
UDP_KEYPOINTS = [[100.3, 200.7], [700.2, 1000.1], [767.0, 1023.0], [0.0, 0.0], [384.5, 512.25]]
UDP_PEAKS = [0.9999818205833435, 0.9969685077667236, 1.0, 1.0, 0.9977665543556213]
UDP_SUMS = [225.2805358664409, 191.47748530669924, 64.07481945790641, 64.07483119123208, 225.26998367121269]
UDP_CELLS = [[25, 50], [174, 249], [191, 255], [0, 0], [96, 128]]
UDP_DECODED = [
    [100.43076120746073, 200.89618566176472],
    [701.1128722185864, 1001.0776960784314],
    [770.0104712041885, 1026.007843137255],
    [-2.0104694066871525, -2.0078415814568014],
    [385.00127822316756, 512.7507659313726],
]

# Losses of the dense tasks. Depth: prediction linspace(-0.2, 1.1) of 24 values in (2, 3, 4), target linspace(1, 0.05) with
# [0, 0, :2] = -1. Normals: prediction linspace(-1, 1) in (1, 3, 2, 4), target 0.7 times its reverse, but -1000 at pixel (0, 0).
SILOG = 3.4761619567871094
NORMAL_COSINE, NORMAL_L1 = 2.0, 2.629192590713501

# The second generation, whose dense losses and segmentation head have the same form; made with second_fill.
# Normals (2, 3, 16, 12): prediction, target and a mask (2, 1, 16, 12) above -0.3 with phases 1, 2, 3.
SECOND_COSINE, SECOND_L1, SECOND_GRADIENT = 0.006184165831655264, 0.2105664163827896, 0.04952852800488472
# Scores (2, 29, 16, 12) with phase 5 and magnitude 3, labels arange * 7 mod 29, the first two rows of the first image ignored.
SECOND_CROSS_ENTROPY, SECOND_DICE = 23.13299560546875, 0.9378015995025635
# Head with 64 input channels, four deconvolutions (32, 32, 16, 16), two convolutions of 16 and 29 classes, on features of phase
# 2000: shape, mean, standard deviation, sum of magnitudes, first and last five values.
SECOND_SEG_HEAD = (
    (2, 29, 64, 48),
    0.003288569125073434,
    0.2017314703926284,
    25234.14639016556,
    [-0.017294002696871758, -0.042515452951192856, -0.0419362373650074, -0.06226807460188866, -0.05420145392417908],
    [0.07921808958053589, 0.08763036876916885, 0.04978833720088005, 0.04635711759328842, 0.00421292707324028],
)


def second_fill(shape: tuple[int, ...], phase: int, magnitude: float = 1.0) -> torch.Tensor:
    """magnitude * sin(0.37 i + 0.11 phase) for the flat index i, computed in float64."""
    flat = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return (magnitude * torch.sin(0.37 * flat + 0.11 * phase)).float().view(shape)


@torch.no_grad()
def second_weights(module: nn.Module) -> None:
    """Fill a module without norms: the phase is a key's place among the sorted keys, the magnitude 0.05, 0.02 for biases."""
    for phase, (_, value) in enumerate(sorted(module.state_dict().items())):
        value.copy_(second_fill(tuple(value.shape), phase, 0.05 if value.ndim > 1 else 0.02))
