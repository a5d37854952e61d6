#!/bin/sh
# Installs rainbow-agent into a virtual environment, and its commands on PATH.
#
# usage: install-agent.sh WHEEL PREFIX BIN [PYTHON [REQUIREMENT...]]
#   WHEEL        rainbow_agent-*.whl
#   PREFIX       the virtual environment, for example /opt/rainbow-agent; nothing else writes there
#   BIN          a folder on PATH, for example /usr/local/bin
#   PYTHON       the Python to use (default python3); has to be that of Flux's bindings if the
#                agent should load them
#   REQUIREMENT  further packages, for example flux-python==0.88.0 if Flux's bindings are for
#                another Python
set -eu
# The service runs as another user.
umask 022

wheel=$1
prefix=$2
bin=$3
shift 3
python=python3
if [ $# -gt 0 ]; then
    python=$1
    shift
fi
here=$(dirname "$0")

# PYTHONPATH may be meant for another Python.
unset PYTHONPATH PYTHONHOME

"$python" -m venv "$prefix"
"$prefix/bin/python" -m pip install --quiet --no-cache-dir --disable-pip-version-check \
    "$wheel" "$@"
# pip leaves a version that is there already; this wheel may be another build of it.
"$prefix/bin/python" -m pip install --quiet --no-cache-dir --disable-pip-version-check \
    --no-deps --force-reinstall "$wheel"

# A broken installation should fail here, not in a pod.
"$prefix/bin/rainbow-agent" version
"$prefix/bin/rainbow-compspec" --help >/dev/null

mkdir -p "$bin"
for name in rainbow-agent rainbow-compspec; do
    ln -sf "$prefix/bin/$name" "$bin/$name"
done
for name in rainbow-pod-start rainbow-pod-stop; do
    cp "$here/$name" "$bin/$name"
    chmod 0755 "$bin/$name"
done
