"""festival: many utterances per process, with segment files."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from ..phonemes import SILENCE, from_arpabet, from_sampa
from .flite import read_wave
from .missing import NotInstalled
from .utterance import Segment, Utterance, spread, to_rate

VOICES = {
    "kal_diphone": "festvox-kallpc16k",
    "ked_diphone": "festvox-kdlpc16k",
    "cmu_us_slt_arctic_hts": "festvox-us-slt-hts",
    "lp_diphone": "festvox-italp16k",
    "pc_diphone": "festvox-itapc16k",
    "suo_fi_lj_diphone": "festvox-suopuhe-lj",
    "hy_fi_mv_diphone": "festvox-suopuhe-mv",
    "czech_dita": "festvox-czech-dita",
    "czech_machac": "festvox-czech-machac",
}
"""Voices and the Debian package of each."""

LANGUAGE = {
    "kal_diphone": "en", "ked_diphone": "en", "cmu_us_slt_arctic_hts": "en", "lp_diphone": "it", "pc_diphone": "it",
}  # fmt: skip
"""Language label by voice; the others speak pseudo-words ('any')."""


def installed(voice: str) -> bool:
    """Whether the voice's files are on this machine."""
    roots = (Path("/usr/share/festival/voices"), Path("/usr/local/share/festival/voices"))
    return any(any(root.glob(f"*/{voice}")) for root in roots if root.is_dir())


def require(voice: str) -> str:
    """Path of festival; NotInstalled names the Debian package of whatever is missing."""
    program = shutil.which("festival")
    voices = () if installed(voice) else (VOICES.get(voice, "its festvox package"),)
    if program is None:
        what, packages = "The speech engine festival is not installed", ("festival", *voices)
        raise NotInstalled(what, where="festival", packages=packages)
    if voices:
        raise NotInstalled(f"festival's voice {voice} is not installed", where="festival", packages=voices)
    return program


def synthesize(texts: list[str], voice: str = "kal_diphone", stretch: float = 1.0) -> list[Utterance | None]:
    """Speak each text; None where festival made nothing.

    Args:
        texts: ASCII sentences.
        stretch: duration factor, 1 = usual.

    Raises:
        BackendError: festival or the voice is not installed.
    """
    program = require(voice)
    with tempfile.TemporaryDirectory() as folder:
        lines = [f"(voice_{voice})", f"(Parameter.set 'Duration_Stretch {stretch:.3f})"]
        for i, text in enumerate(texts):
            quoted = text.replace("\\", "").replace('"', "")
            lines.append(f'(set! u (utt.synth (Utterance Text "{quoted}")))')
            lines.append(f'(utt.save.wave u "{folder}/{i}.wav" \'riff)')
            lines.append(f'(utt.save.segs u "{folder}/{i}.lab")')
        script = Path(folder, "script.scm")
        script.write_text("\n".join(lines) + "\n", encoding="latin-1", errors="replace")
        subprocess.run([program, "-b", str(script)], capture_output=True, check=False)
        return [_read(Path(folder), i, text, voice) for i, text in enumerate(texts)]


def _read(folder: Path, index: int, text: str, voice: str) -> Utterance | None:
    sound, labels = folder / f"{index}.wav", folder / f"{index}.lab"
    if not sound.exists() or not labels.exists():
        return None
    pcm = to_rate(*read_wave(sound))
    english = LANGUAGE.get(voice) == "en"
    duration = len(pcm) / 16000
    segments: list[Segment] = []
    start = 0.0
    for line in labels.read_text(encoding="latin-1").splitlines():
        parts = line.split()
        if len(parts) != 3:
            continue
        end, phone = min(float(parts[0]), duration), parts[2]
        visemes = from_arpabet(phone) if english else from_sampa(phone)
        if visemes is None:
            return None
        segments += spread(start, end, visemes, phone)
        start = max(start, end)
    if not segments or len(pcm) < 8000:
        return None
    if start < duration:
        segments.append(Segment(start, duration, SILENCE, ""))
    return Utterance(pcm, segments, "festival", voice, LANGUAGE.get(voice, "any"), text)
