"""Figures that training writes at regular intervals."""
