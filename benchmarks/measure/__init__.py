"""Measurements of a model on a device."""

from .run import measure_model
from .session import MeasureSettings

__all__ = ["MeasureSettings", "measure_model"]
