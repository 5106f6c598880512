"""How the networks are trained: simulated subjects, pairs of frame and volume, augmentation, the loop; the gate."""

from deeprs2v_ros.extras import need

need("network", "torch", "monai", "safetensors")
