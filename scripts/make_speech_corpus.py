"""Make the synthetic speech corpus without installing the package's command: see `avatars speech corpus --help`.

Needs: apt-get install espeak-ng flite festival festvox-kdlpc16k festvox-us-slt-hts festvox-italp16k festvox-itapc16k
       festvox-suopuhe-lj festvox-suopuhe-mv festvox-czech-dita festvox-czech-machac
and for --recorded, with their documents (the texts):
       apt-get install --no-install-recommends asterisk-core-sounds-{en,es,fr,it,ru}{,-g722}
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import tyro

from avatars.errors import AvatarError
from avatars.speech.cli import SpeechCorpus

if __name__ == "__main__":
    try:
        tyro.cli(SpeechCorpus, description=__doc__).run()
    except AvatarError as error:
        raise SystemExit(f"error: {error}") from None
