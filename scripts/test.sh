#!/usr/bin/env bash
# All tests, against the installed package, on a bare Debian or Ubuntu: bash scripts/test.sh [pytest arguments]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh
prepare "[test]" python3-venv g++ git libgl1 libglib2.0-0 ffmpeg espeak-ng flite festival festvox-kallpc16k \
  chromium chromium-driver nodejs npm
# From an empty folder that sees the tests and nothing else of the checkout, so that `import avatars` means the wheel.
root=$PWD
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
ln -s "$root/tests" "$stage/tests"
cd "$stage"
# Idle workers that spin and small matrices on many threads only steal time from each other.
export OMP_WAIT_POLICY=passive OPENBLAS_NUM_THREADS=1 AVATARS_TEST_INSTALLED=1
# Two files of tests at a time: most tests keep one core busy. Those of one file share what they build.
python -m pytest -n 2 --dist loadfile -c "$root/pyproject.toml" --rootdir "$stage" -p no:cacheprovider tests "$@"
