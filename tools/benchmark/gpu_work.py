"""What the process of a case does."""

from gpu_cases import Case

__all__ = ['HEAVY', 'work']

# Modules to import once for all processes, where they are installed. None of them may touch the GPU.
HEAVY = [
    'sapiens',  # adapts the packages that the others import
    'gpu_step',
    'gpu_opponents',
    'gpu_host',
    'matplotlib.pyplot',
    'torchvision',
    'torch._dynamo.backends.debugging',
    'torch.export._trace',
    'functorch.compile',
    'yapf.yapflib.yapf_api',
    'mmpretrain.models',
    'mmseg.models',
]


def work(case: Case) -> dict:
    """Values of a case, see the functions below."""
    from gpu_clock import device_facts
    from gpu_host import measure_estimate, measure_loading
    from gpu_opponents import measure_pair
    from gpu_step import device_of, measure_largest, measure_step

    kinds = dict(
        step=measure_step,
        pair=measure_pair,
        largest=measure_largest,
        estimate=measure_estimate,
        loading=measure_loading,
        facts=lambda case: device_facts(device_of(case)),
    )
    return kinds[case.kind](case)
