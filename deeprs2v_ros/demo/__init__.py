"""What a recording of the running nodes says about them: pictures, a plot and numbers. Needs no ROS."""
