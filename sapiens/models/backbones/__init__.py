from .archs import SAPIENS_ARCHS
from .interface import Encoder, require_members
from .sapiens_v1 import SapiensViT

__all__ = ['SAPIENS_ARCHS', 'Encoder', 'SapiensViT', 'require_members']
