"""Ultrasound guidance of liver tumour ablation: registration of live 2D frames to a 3D volume."""
