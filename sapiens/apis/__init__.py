from .features import extract_features, find_images, load_encoder

__all__ = ['extract_features', 'find_images', 'load_encoder']
