"""The encoder arm: its geometry, its encoders and the way back from poses to joints."""
