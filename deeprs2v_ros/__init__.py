"""Ultrasound guidance of liver tumour ablation: registration of live 2D frames to a 3D ultrasound volume."""

from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)  # the generated messages are installed, the code may be run from its source
