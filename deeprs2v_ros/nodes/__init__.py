"""The ROS 2 nodes. They convert, call the core and publish; nothing else of the package imports rclpy or messages."""
