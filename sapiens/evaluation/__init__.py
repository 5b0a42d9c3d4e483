from .reconstruction import ReconstructionLoss

__all__ = ['ReconstructionLoss']
