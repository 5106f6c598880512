"""How the networks are trained: simulated subjects, pairs of frame and volume, augmentation, the loop; the gate."""
