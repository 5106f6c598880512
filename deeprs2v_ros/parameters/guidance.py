"""The parameters of the live pipeline: how images are registered, and what is asked of them."""

from __future__ import annotations

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.parameters.cart import FASTEST
from deeprs2v_ros.parameters.declaring import (
    Declare,
    declare_between,
    declare_choice,
    declare_positive,
    declare_settings,
)
from deeprs2v_ros.registration.guidance import GuidanceSettings
from deeprs2v_ros.registration.methods import DEVICES, LIVE, METHODS, check_weights
from deeprs2v_ros.registration.preparation import Recipe
from deeprs2v_ros.registration.settings import ABDOMINAL_WALL, OrganMotion, PredictionSettings, RegistrationSettings
from deeprs2v_ros.registration.supervisor import SupervisorSettings

LONGEST_OFFSET = 5.0
"""Seconds: half of what a TF buffer holds."""


def declare_recipe(declare: Declare) -> Recipe:
    """How images are registered. Raises InputError for what cannot be met, weights that cannot be used too."""
    method = declare_choice(declare, "method", LIVE, "How images are registered")
    settings = RegistrationSettings(
        gate=declare_settings(declare, "gate", METHODS[method].gate),
        organ=declare_settings(declare, "organ", OrganMotion()),
        prediction=declare_settings(declare, "prediction", PredictionSettings()),
        abdominal_wall=declare_between(
            declare, "abdominal_wall", ABDOMINAL_WALL, "mm behind the probe's face that do not breathe", 0.0, 1000.0
        ),
    )
    recipe = Recipe(
        method,
        settings,
        declare("weights", "", "Weights of the network: a file, or shipped ones by name; empty: the usual"),
        declare_choice(declare, "device", DEVICES, "Where the network computes"),
        declare("temporal", True, "Start each image from the last organ motion"),
    )
    check_weights(recipe.method, recipe.weights or None)
    return recipe


def declare_guidance(declare: Declare) -> GuidanceSettings:
    """What is asked of images. Raises InputError for what cannot be met."""
    return GuidanceSettings(
        trust=declare_settings(declare, "trust", SupervisorSettings()),
        mask_frames=declare_positive(declare, "mask_frames", 10, "Images from which the valid area is found", 1000),
        image_time_offset=declare_image_time_offset(declare) / 1e9,
        future_tolerance=declare_positive(
            declare, "future_tolerance", 0.1, "Seconds that a stamp may lie in the future"
        ),
        frozen_distance=declare("frozen_distance", 2.0, "mm that the plane may move with a still picture; 0: any"),
        image_timeout=declare_positive(
            declare, "image_timeout", 1.0, "Seconds without a usable image that are too long"
        ),
        check_period=declare(
            "check_period", 1.0, "Seconds between second looks, wide searches in the background; 0: none"
        ),
    )


def declare_image_time_offset(declare: Declare) -> int:
    """Declare ``image_time_offset`` and return it in ns: what an image stamped t shows was there at t less this.

    Raises InputError for one that the `LONGEST_OFFSET` seconds that TF remembers cannot bridge.
    """
    offset = declare("image_time_offset", 0.0, "Seconds by which images are stamped late; negative: early")
    if not abs(offset) <= LONGEST_OFFSET:
        raise InputError(f"parameter image_time_offset: is {offset}, not within {LONGEST_OFFSET:g} seconds of zero")
    return round(offset * 1e9)


def declare_mask(declare: Declare) -> str:
    """The file of the valid area of an image, or an empty string."""
    return declare("mask", "", "Valid area of an image, as an image file; empty: found from the images")


def declare_transform_deadline(declare: Declare) -> float:
    """How long, in s, an image waits for the arm. Raises InputError for what is not positive."""
    return declare_positive(declare, "transform_deadline", 0.1, "Seconds to wait for the arm's transform", 10.0)


def declare_prediction_rate(declare: Declare) -> float:
    """How often the prediction is broadcast. Raises InputError for what is not positive."""
    return declare_positive(
        declare, "prediction_rate", 50.0, "How often per second the prediction is broadcast", FASTEST
    )
