"""The networks: DeepRS2V as published, our correspondence network, FVR-Net, their loss, and weights on disk."""
