"""What the launch files have in common: arguments, parameters, processes that are needed, recording, viewers.

`ros2 launch` may run another Python than the nodes, so this imports nothing that takes long or comes from PyPI alone.
"""
