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
from deeprs2v_ros.registration.settings import (
    ABDOMINAL_WALL,
    OrganMotion,
    PredictionSettings,
    Range,
    RegistrationSettings,
)
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
            declare,
            "abdominal_wall",
            ABDOMINAL_WALL,
            "Thickness (mm) of the abdominal wall in front of the probe, which does not breathe",
            0.0,
            1000.0,
        ),
    )
    recipe = Recipe(
        method,
        settings,
        declare(
            "weights", "", "Weights of the network: a file, or the name of shipped ones; empty: those of the method"
        ),
        declare_choice(declare, "device", DEVICES, "Where the network computes"),
        declare("temporal", True, "Start each image from the last motion of the organ"),
    )
    check_weights(recipe.method, recipe.weights or None)
    return recipe


def declare_guidance(declare: Declare) -> GuidanceSettings:
    """What is asked of images. Raises InputError for what cannot be met."""
    return GuidanceSettings(
        trust=declare_settings(declare, "trust", SupervisorSettings()),
        mask_frames=declare_positive(
            declare, "mask_frames", 10, "Number of images from which the valid area is found", 1000
        ),
        image_time_offset=declare_image_time_offset(declare) / 1e9,
        future_tolerance=declare_positive(
            declare, "future_tolerance", 0.1, "How far (s) a stamp may lie in the future", 60.0
        ),
        frozen_distance=declare_between(
            declare,
            "frozen_distance",
            2.0,
            "How far the probe may move (mm) while the picture stays the same; 0: repeated pictures count as new ones",
            0.0,
            1e6,
        ),
        image_timeout=declare_positive(
            declare, "image_timeout", 1.0, "Seconds without a usable image after which IMAGE_STALE is said", 3600.0
        ),
        check_period=declare_between(
            declare,
            "check_period",
            1.0,
            "Seconds between second looks, which are wide searches in the background; 0: none",
            0.0,
            3600.0,
        ),
    )


def declare_image_time_offset(declare: Declare) -> int:
    """Declare ``image_time_offset`` and return it in ns: what an image stamped t shows was there at t less this.

    Raises InputError for one that the `LONGEST_OFFSET` seconds that TF remembers cannot bridge.
    """
    offset = declare(
        "image_time_offset",
        0.0,
        "Seconds by which images are stamped late; negative: early",
        allowed=str(Range(-LONGEST_OFFSET, LONGEST_OFFSET)),
    )
    if not abs(offset) <= LONGEST_OFFSET:
        raise InputError(f"parameter image_time_offset: is {offset}, not within {LONGEST_OFFSET:g} seconds of zero")
    return round(offset * 1e9)


def declare_mask(declare: Declare) -> str:
    """The file of the valid area of an image, or an empty string."""
    return declare(
        "mask", "", "Valid area of the images, an image file of their size; empty: found from the first ones"
    )


def declare_transform_deadline(declare: Declare) -> float:
    """How long, in s, an image waits for the arm. Raises InputError for what is not positive."""
    return declare_positive(
        declare, "transform_deadline", 0.1, "Seconds that an image waits for the arm's transform", 10.0
    )


def declare_prediction_rate(declare: Declare) -> float:
    """How often the prediction is broadcast. Raises InputError for what is not positive."""
    return declare_positive(declare, "prediction_rate", 50.0, "Predictions broadcast per second", FASTEST)
