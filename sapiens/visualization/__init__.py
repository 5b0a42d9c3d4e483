from .mae import draw_reconstructions

__all__ = ['draw_reconstructions']
