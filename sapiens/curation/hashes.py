"""Hashes of files and of what they show."""

import hashlib

import cv2
import numpy as np

__all__ = ['content_hash', 'perceptual_hash']

_SIDE, _KEPT = 32, 8


def content_hash(data: bytes) -> int:
    """Return 64 bits of the BLAKE2b hash of a file's content."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), 'little')


def perceptual_hash(pixels: np.ndarray) -> int:
    """Return 64 bits that differ little between copies of an image in other sizes and qualities.

    The gray image of 32 x 32 pixels is transformed (DCT). A bit tells whether one of the 8 x 8 lowest frequencies is above their
    median. Source: Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions" (2010).

    Args:
        pixels: (H, W, 3) uint8 RGB.
    """
    gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    frequencies = cv2.dct(cv2.resize(gray, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA))[:_KEPT, :_KEPT].ravel()
    # A frequency of an even image is noise of the arithmetic, which differs between machines.
    frequencies = np.round(frequencies, 2)
    bits = frequencies > np.median(frequencies[1:])
    return int(np.packbits(bits, bitorder='little').view('<u8')[0])
