"""The settings of the guidance as parameters of a node."""

from __future__ import annotations

from rclpy.node import Node

from deeprs2v_ros.nodes.support.parameters import (
    declare,
    declare_choice,
    declare_image_time_offset,
    declare_positive,
    declare_settings,
)
from deeprs2v_ros.registration.guidance import GuidanceSettings
from deeprs2v_ros.registration.methods import DEVICES, LIVE, METHODS, weights_file
from deeprs2v_ros.registration.preparation import Recipe
from deeprs2v_ros.registration.settings import ABDOMINAL_WALL, OrganMotion, PredictionSettings, RegistrationSettings
from deeprs2v_ros.registration.supervisor import SupervisorSettings


def declare_recipe(node: Node) -> Recipe:
    """How images are registered. Raises InputError for what cannot be met, a file of weights that is not there too."""
    method = declare_choice(node, "method", LIVE, "How images are registered")
    settings = RegistrationSettings(
        gate=declare_settings(node, "gate", METHODS[method].gate),
        organ=declare_settings(node, "organ", OrganMotion()),
        prediction=declare_settings(node, "prediction", PredictionSettings()),
        abdominal_wall=declare(
            node, "abdominal_wall", ABDOMINAL_WALL, "mm behind the probe's face that do not breathe"
        ),
    )
    recipe = Recipe(
        method,
        settings,
        declare(node, "weights", "", "Weights of the network: a file, or shipped ones by name; empty: the usual"),
        declare_choice(node, "device", DEVICES, "Where the network computes"),
        declare(node, "temporal", True, "Start each image from the last organ motion"),
    )
    weights_file(recipe.method, recipe.weights or None)  # refused now rather than with the first image
    return recipe


def declare_guidance(node: Node) -> GuidanceSettings:
    """What is asked of images. Raises InputError for what cannot be met."""
    return GuidanceSettings(
        trust=declare_settings(node, "trust", SupervisorSettings()),
        mask_frames=declare_positive(node, "mask_frames", 10, "Images from which the valid area is found"),
        image_time_offset=declare_image_time_offset(node) / 1e9,
        future_tolerance=declare_positive(node, "future_tolerance", 0.1, "Seconds that a stamp may lie in the future"),
        frozen_distance=declare(
            node, "frozen_distance", 2.0, "mm that the plane may move while the picture stands; 0: any"
        ),
        image_timeout=declare_positive(node, "image_timeout", 1.0, "Seconds without a usable image that are too long"),
        check_period=declare(
            node, "check_period", 1.0, "Seconds between second looks, wide searches in the background; 0: none"
        ),
    )
