"""Encoder and heads of Sapiens2 against outputs that the published code gave for weights from a formula."""

import math

import pytest
import torch

from sapiens.models import DeconvHead, PixelShuffleHead, Sapiens2ViT

ARCH = dict(embed_dims=64, num_layers=18, num_heads=4, feedforward_channels=256, num_tokenizer_layers=1)
NORMS = tuple(f'{name}.weight' for name in ('ln1', 'ln2', 'q_norm', 'k_norm', 'norm'))

# (dtype of the rotation, with tokenizer) -> shape, sum of magnitudes, the first and last five numbers of the output.
ENCODER = {
    ('fp32', False): (
        (2, 21, 64),
        2317.668824521679,
        [
            2.161259651184082,
            0.5014093518257141,
            -0.5659747123718262,
            0.16765420138835907,
            0.6349349617958069,
            -1.0999611616134644,
            -0.04508083313703537,
            1.0518798828125,
            0.3092353045940399,
            -1.0431360006332397,
        ],
    ),
    ('fp32', True): (
        (1, 21, 64),
        1158.631591685058,
        [
            2.160235643386841,
            0.4876445531845093,
            -0.6919659376144409,
            0.0832294374704361,
            0.7297870516777039,
            -0.6786086559295654,
            -0.5912260413169861,
            -0.8815273642539978,
            -0.7581605315208435,
            0.20918071269989014,
        ],
    ),
    ('bf16', False): (
        (2, 21, 64),
        2317.664910397696,
        [
            2.161228656768799,
            0.5013190507888794,
            -0.5660321116447449,
            0.16769316792488098,
            0.6350038051605225,
            -1.0999878644943237,
            -0.04501506686210632,
            1.0519349575042725,
            0.30917835235595703,
            -1.0432097911834717,
        ],
    ),
    ('bf16', True): (
        (1, 21, 64),
        1158.6243882814888,
        [
            2.1602835655212402,
            0.48776593804359436,
            -0.691936194896698,
            0.08315268158912659,
            0.7297495603561401,
            -0.6787210702896118,
            -0.5911746621131897,
            -0.881399393081665,
            -0.7581887245178223,
            0.20903213322162628,
        ],
    ),
}
HEADS = {
    'pose': (
        (2, 17, 16, 12),
        936.9084602944204,
        [
            -0.04456658661365509,
            -0.052874740213155746,
            -0.09077741205692291,
            -0.09016900509595871,
            -0.12389198690652847,
            -0.21007929742336273,
            -0.18263866007328033,
            -0.1909099817276001,
            -0.1545700579881668,
            -0.08632994443178177,
        ],
    ),
    'seg': (
        (2, 29, 64, 48),
        25234.14639016556,
        [
            -0.017294002696871758,
            -0.042515452951192856,
            -0.0419362373650074,
            -0.06226807460188866,
            -0.05420145392417908,
            0.07921808958053589,
            0.08763036876916885,
            0.04978833720088005,
            0.04635711759328842,
            0.00421292707324028,
        ],
    ),
    'normal': (
        (2, 3, 64, 48),
        878.2969246237581,
        [
            0.016244422644376755,
            0.01749158278107643,
            0.01789902150630951,
            0.015177510678768158,
            0.015282027423381805,
            0.060816965997219086,
            0.06441114842891693,
            0.06736592203378677,
            0.06241876259446144,
            0.039859190583229065,
        ],
    ),
    'albedo': (
        (2, 3, 64, 48),
        1273.5260749347508,
        [
            0.08585941791534424,
            0.07982094585895538,
            0.07816676795482635,
            0.0781058743596077,
            0.07808678597211838,
            0.06496667116880417,
            0.06481591612100601,
            0.06455878913402557,
            0.06349106132984161,
            0.055493537336587906,
        ],
    ),
    'pointmap': (
        (2, 3, 256, 256),
        20280.116297433702,
        [
            0.021015631034970284,
            0.02744980901479721,
            0.02929576300084591,
            0.027689378708600998,
            0.027000145986676216,
            0.044080834835767746,
            0.043597836047410965,
            0.04397261142730713,
            0.040119972079992294,
            0.029116688296198845,
        ],
    ),
}
SCALE = [0.018096398562192917, 0.018113967031240463]
SMALL = dict(upsample_channels=(32, 32, 16, 16), conv_channels=(16, 8, 8))
BUILD = {
    'pose': lambda: DeconvHead(64, 17, (32, 32), (16, 16, 16), predictor='conv_pose'),
    'seg': lambda: DeconvHead(64, 29, (32, 32, 16, 16), (16, 16)),
    'normal': lambda: PixelShuffleHead(64, 3, **SMALL),
    'albedo': lambda: PixelShuffleHead(64, 3, **SMALL, norm='rms', predictor='conv_albedo'),
    'pointmap': lambda: PixelShuffleHead(
        64,
        dict(pointmap=3),
        **SMALL,
        predictor='conv_pointmap',
        scalars=('scale',),
        scale=dict(conv_channels=(32, 16, 8), hidden=(16, 8), cells=(2, 2)),
    ),
}


def wave(shape, number, amplitude=1.0):
    index = torch.arange(math.prod(shape), dtype=torch.float64)
    return (amplitude * torch.sin(0.37 * index + 0.11 * number)).float().reshape(shape)


def fill(module):
    """Every tensor a sine, with a phase from the place of its name among the sorted names."""
    state = module.state_dict()
    for number, name in enumerate(sorted(state)):
        value = state[name]
        if name.endswith('attn.gamma.weight'):
            value.fill_(0.5)
        elif name.endswith(NORMS):
            value.copy_(1 + wave(value.shape, number, 0.1))
        elif not name.endswith('periods'):
            value.copy_(wave(value.shape, number, 0.02 if name.endswith('bias') else 0.05))
    return module.eval()


def check(output, expected, tolerance):
    shape, magnitude, numbers = expected
    assert tuple(output.shape) == shape
    flat = output.detach().flatten()
    torch.testing.assert_close(torch.cat([flat[:5], flat[-5:]]), torch.tensor(numbers), atol=tolerance, rtol=0)
    assert flat.double().abs().sum().item() == pytest.approx(magnitude, rel=1e-6)


@pytest.mark.parametrize(('rope_dtype', 'tokenizer'), ENCODER)
def test_encoder(rope_dtype, tokenizer):
    size = (256, 192) if tokenizer else (64, 48)
    model = fill(Sapiens2ViT(ARCH, size, tokenizer=tokenizer, rope_dtype=rope_dtype, out_type='raw'))
    expected = ENCODER[rope_dtype, tokenizer]
    (output,) = model(wave((expected[0][0], 3, *size), 1000))
    check(output, expected, 1e-5)


@pytest.mark.parametrize('grad', [True, False])
@pytest.mark.parametrize('task', HEADS)
def test_head(task, grad):
    head = fill(BUILD[task]())
    with torch.set_grad_enabled(grad):
        output = head(wave((2, 64, *((16, 16) if task == 'pointmap' else (4, 3))), 2000))
    if task == 'pointmap':
        torch.testing.assert_close(output['scale'].detach(), torch.tensor(SCALE), atol=1e-7, rtol=0)
        output = output['pointmap']
    check(output, HEADS[task], 1e-6)
