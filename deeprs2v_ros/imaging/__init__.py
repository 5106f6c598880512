"""Images on disk and in memory: volumes, tracked sequences, masks, resampling, slicing and reconstruction."""
