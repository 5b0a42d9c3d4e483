"""Garments, accessories and hair, assembled by :mod:`sapiens.synthetic.clothing`."""
