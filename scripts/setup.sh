# Sourced by demo.sh and test.sh: system packages, a virtual environment in .venv, this checkout installed into it.
# Usage: prepare EXTRAS SYSTEM_PACKAGE...

prepare() {
  local extras=$1
  shift
  system_packages "$@"
  local python
  python=$(command -v python3.11 || command -v python3)
  [ -x .venv/bin/python ] || "$python" -m venv .venv
  # shellcheck disable=SC1091
  . .venv/bin/activate
  python -m pip install -q --disable-pip-version-check --upgrade -c constraints.txt pip setuptools wheel 2>/dev/null ||
    python -m pip install -q --disable-pip-version-check --upgrade pip
  # torch first and by its pin: a CPU build that pip can find locally is taken, and nothing is resolved twice
  python -m pip install -q --disable-pip-version-check -c constraints.txt torch
  rm -rf build/lib*  # modules that have gone would be installed with the others
  python -m pip install -q --disable-pip-version-check -c constraints.txt ".$extras"
  case $extras in *test*) node_tools ;; esac
}

# Other people's programs that tests hold exported files against, and a node that is new enough for them, by lock file.
# Where they cannot be had, those tests say so and are skipped.
node_tools() {
  local tools=$PWD/.venv/tools
  if ! cmp -s tests/tools/package-lock.json "$tools/package-lock.json"; then
    if ! command -v npm >/dev/null; then
      echo "no npm, going on without the tools in tests/tools" >&2
      return 0
    fi
    echo "installing the tools in tests/tools"
    mkdir -p "$tools"
    cp tests/tools/package.json tests/tools/package-lock.json "$tools"
    if ! timeout 900 npm ci --prefix "$tools" --ignore-scripts --no-audit --no-fund --loglevel=error \
      --fetch-retries=1 --fetch-timeout=60000 >/dev/null; then
      rm -f "$tools/package-lock.json"
      echo "npm failed, going on without the tools in tests/tools" >&2
      return 0
    fi
  fi
  export AVATARS_NODE_MODULES=$tools/node_modules
  PATH=$tools/node_modules/.bin:$PATH
}

# Installs those of the named Debian packages that are missing and can be had.
system_packages() {
  command -v apt-get >/dev/null || return 0
  local package missing=() known=() sudo=()
  for package in "$@"; do
    case $package in
      nodejs | npm) command -v "${package%js}" >/dev/null && continue ;;
      chromium | ffmpeg) command -v "$package" >/dev/null && continue ;;
    esac
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
      echo "neither root nor sudo, going on without: ${missing[*]}" >&2
      return 0
    fi
    sudo=(sudo)
  fi
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q >/dev/null
  for package in "${missing[@]}"; do
    # Names differ between releases. What is not to be had serves some tests only, and they say so.
    if apt-get install -s "$package" >/dev/null 2>&1; then known+=("$package"); else echo "no package: $package" >&2; fi
  done
  ((${#known[@]})) || return 0
  echo "installing system packages: ${known[*]}"
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${known[@]}" >/dev/null
}
