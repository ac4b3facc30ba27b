# Sourced by demo.sh and test.sh: system packages, a virtual environment in .venv, this checkout installed into it.
# Usage: prepare EXTRAS SYSTEM_PACKAGE...

prepare() {
  local extras=$1
  shift
  local missing=()
  if command -v dpkg-query >/dev/null; then
    for package in "$@"; do
      case $package in nodejs) command -v node >/dev/null && continue ;; npm) command -v npm >/dev/null && continue ;; esac
      dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
  fi
  if ((${#missing[@]})); then
    local sudo=()
    [ "$(id -u)" = 0 ] || sudo=(sudo)
    echo "installing system packages: ${missing[*]}"
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q >/dev/null
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" >/dev/null
  fi
  local python
  python=$(command -v python3.11 || command -v python3)
  [ -x .venv/bin/python ] || "$python" -m venv .venv
  # shellcheck disable=SC1091
  . .venv/bin/activate
  python -m pip install -q --disable-pip-version-check --upgrade -c constraints.txt pip setuptools wheel 2>/dev/null ||
    python -m pip install -q --disable-pip-version-check --upgrade pip
  # torch first and by its pin: a CPU build that pip can find locally is taken, and nothing is resolved twice
  python -m pip install -q --disable-pip-version-check -c constraints.txt torch
  python -m pip install -q --disable-pip-version-check -c constraints.txt ".$extras"
}
