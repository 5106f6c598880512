"""The networks: DeepRS2V as published, our correspondence network, FVR-Net, their loss, and weights on disk."""

from deeprs2v_ros.extras import need

need("network", "torch", "safetensors")
