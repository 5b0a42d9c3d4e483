import numpy as np
import pytest
import torch

from sapiens.utils.srgb import decode_srgb, encode_srgb


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_the_curve_of_srgb(dtype):
    # Middle gray, the ends of both parts, and values outside of [0, 1].
    coded = np.array([0, 0.02, 0.04045, 0.5, 0.735357, 1, -0.1, 1.2], dtype)
    light = decode_srgb(coded)
    assert light.dtype == dtype
    np.testing.assert_allclose(
        light, [0, 0.00154799, 0.00313080, 0.21404114, 0.5, 1, -0.00773994, 1.516838], atol=2e-6
    )
    np.testing.assert_allclose(encode_srgb(light), coded, atol=2e-6)
    torch.testing.assert_close(
        encode_srgb(torch.from_numpy(light)), torch.from_numpy(encode_srgb(light)), atol=1e-6, rtol=0
    )


def test_gradients_are_finite():
    values = torch.tensor([-1.0, 0, 1e-9, 0.003, 0.5, 1], requires_grad=True)
    for function in (encode_srgb, decode_srgb):
        (gradient,) = torch.autograd.grad(function(values).sum(), values)
        assert gradient.isfinite().all() and (gradient > 0).all()
