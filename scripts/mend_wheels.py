"""Mends the CMake files of ROS wheels: for their use here, in a virtual environment inside the source folder.

Run by `make setup` with the virtual environment's Python, after pip. Running it again changes nothing.
"""

import re
import sys
import sysconfig
from pathlib import Path

import numpy as np

REPLACEMENTS = [
    # Folders of the manylinux image that the wheels were built in.
    (re.compile(r"/opt/python/[\w-]+/include/python[\d.]+"), sysconfig.get_path("include")),
    (re.compile(r"/opt/python/[\w-]+/lib/python[\d.]+/site-packages/numpy/_?core/include"), np.get_include()),
    # Generated messages export where numpy's headers are. CMake refuses to export a folder inside the source, and
    # nobody who uses the messages needs them.
    (
        re.compile(r"PUBLIC \$\{Python3_INCLUDE_DIRS\} \$\{Python3_NumPy_INCLUDE_DIRS\}\)"),
        'PUBLIC "$<BUILD_INTERFACE:${Python3_INCLUDE_DIRS};${Python3_NumPy_INCLUDE_DIRS}>")',
    ),
]


def mend(prefix: Path) -> int:
    """Mend every CMake file under ``prefix/share``; returns how many files were changed."""
    changed = 0
    for path in prefix.glob("share/**/*.cmake"):
        text = mended = path.read_text()
        for pattern, replacement in REPLACEMENTS:
            mended = pattern.sub(lambda _, new=replacement: new, mended)
        if mended != text:
            path.write_text(mended)
            changed += 1
    return changed


if __name__ == "__main__":
    print(f"mended {mend(Path(sys.prefix))} CMake files of the ROS wheels")
