"""A recorded bag through the live pipeline, without ROS and without real time."""
