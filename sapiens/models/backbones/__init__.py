from .archs import SAPIENS_ARCHS
from .sapiens_v1 import SapiensViT

__all__ = ['SAPIENS_ARCHS', 'SapiensViT']
