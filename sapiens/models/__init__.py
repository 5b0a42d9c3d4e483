from .backbones import SAPIENS_ARCHS, SapiensViT
from .data_preprocessor import ImageNormalizer
from .mae import MAE, MAEDecoder

__all__ = ['MAE', 'SAPIENS_ARCHS', 'ImageNormalizer', 'MAEDecoder', 'SapiensViT']
