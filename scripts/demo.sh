#!/usr/bin/env bash
# Installs and runs the main job on a made-up video: bash scripts/demo.sh [avatars demo arguments]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh
prepare "" python3-venv g++ libgl1 libglib2.0-0
avatars demo "$@"
