"""Registration of live frames to the volume: pyramid, correction, hypotheses, gate, and the tracker that joins them."""
