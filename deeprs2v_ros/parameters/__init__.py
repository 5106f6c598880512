"""What nodes and the replay are told, by name: names, defaults, checks, and the parameter file; without ROS."""
