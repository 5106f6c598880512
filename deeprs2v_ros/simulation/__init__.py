"""A breathing liver under a curvilinear probe: anatomy, scatterers, beam, motion and probe paths. No ROS."""
