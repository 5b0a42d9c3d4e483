import pytest
import torch
import torch.nn.functional as F

from sapiens.models.layers.unit_vectors import unit_vectors


@pytest.mark.parametrize('eps', [1e-12, 1e-6, 1e-3])
@pytest.mark.parametrize('dim', [0, 1, -1])
def test_unit_vectors_are_those_of_torch(dim, eps):
    vectors = torch.randn(3, 3, 3, generator=torch.Generator().manual_seed(0))
    vectors[0] *= 1e-5
    vectors[1, 1] = 0
    ours, torchs = (vectors.clone().requires_grad_() for _ in range(2))
    found, expected = unit_vectors(ours, dim, eps), F.normalize(torchs, dim=dim, eps=eps)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    weights = torch.linspace(-1, 1, 27).view(3, 3, 3)
    for value in (found, expected):
        (value * weights).sum().backward()
    torch.testing.assert_close(ours.grad, torchs.grad, rtol=1e-4, atol=1e-4)


def test_vectors_of_no_length_have_no_direction_and_a_finite_gradient():
    vectors = torch.zeros(1, 3, 2, 2, requires_grad=True)
    for eps in (1e-12, 1e-30):
        found = unit_vectors(vectors, 1, eps)
        assert found.eq(0).all()
        (gradient,) = torch.autograd.grad(found.sum(), vectors)
        assert gradient.isfinite().all()
