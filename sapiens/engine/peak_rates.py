"""Peak rates of GPUs by name, from the data sheets of their makers."""

from dataclasses import dataclass

__all__ = ['PeakRates', 'known_devices', 'peak_rates']


@dataclass(frozen=True)
class PeakRates:
    """Dense operations in TFLOP/s, without sparsity.

    Attributes:
        bf16: matrix products of bf16 that are added in float32.
        fp32: of float32 without tensor cores.
    """

    bf16: float
    fp32: float

    @property
    def tf32(self) -> float:
        """Of products of float32 in TF32, ``torch.set_float32_matmul_precision('high')``: half of bf16 on all of these."""
        return self.bf16 / 2


# By words of the name that torch reports, the most special ones first.
RATES = {
    'GB200': PeakRates(2500, 80),
    'B200': PeakRates(2250, 75),
    'GH200': PeakRates(989, 67),
    'H200 NVL': PeakRates(835, 60),
    'H200': PeakRates(989, 67),
    'H100 PCIe': PeakRates(756, 51),
    'H100 NVL': PeakRates(835, 60),
    'H100': PeakRates(989, 67),
    'H800': PeakRates(989, 67),
    'H20': PeakRates(148, 44),
    'A100': PeakRates(312, 19.5),
    'A800': PeakRates(312, 19.5),
    'A40': PeakRates(149.7, 37.4),
    'A30': PeakRates(165, 10.3),
    'A10': PeakRates(125, 31.2),
    'L40S': PeakRates(362, 91.6),
    'L40': PeakRates(181, 90.5),
    'L4': PeakRates(121, 30.3),
    'RTX 6000 Ada': PeakRates(364, 91.1),
    'RTX A6000': PeakRates(154.8, 38.7),
    'RTX 4090': PeakRates(165.2, 82.6),
    'RTX 3090': PeakRates(71, 35.6),
    'MI300X': PeakRates(1307, 163.4),
    'MI325X': PeakRates(1307, 163.4),
}


def known_devices() -> list[str]:
    """Names of the devices whose rates are known."""
    return list(RATES)


def peak_rates(device: str) -> PeakRates | None:
    """The rates of a device by its name, for example ``'NVIDIA H100 80GB HBM3'``; None for others."""
    words = device.casefold().replace('-', ' ').split()
    for name, rates in RATES.items():
        if all(part in words for part in name.casefold().split()):
            return rates
    return None
