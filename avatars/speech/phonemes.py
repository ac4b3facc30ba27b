"""Visemes, and how each engine's phonemes map to them.

Fourteen mouth classes: the fifteen common ones with /n/ joined to /t d l/, since the lips cannot tell them apart.
"""

from __future__ import annotations

import unicodedata

VISEMES = ("sil", "PP", "FF", "TH", "DD", "SS", "CH", "RR", "kk", "aa", "E", "ih", "oh", "ou")
INDEX = {name: i for i, name in enumerate(VISEMES)}
SILENCE, BILABIAL, LABIODENTAL = INDEX["sil"], INDEX["PP"], INDEX["FF"]
FIRST_VOWEL = INDEX["aa"]

LANGUAGES = ("en", "de", "es", "it", "fr", "pt", "zh", "ja")
"""Languages with a place in the network's condition; any other language, or none, is the zero vector."""

_ARPABET = {
    "sil": "pau h# # brth sil ssil",
    "PP": "p b m em",
    "FF": "f v",
    "TH": "th dh",
    "DD": "t d n l dx el en nx",
    "SS": "s z",
    "CH": "sh zh ch jh",
    "RR": "r er axr",
    "kk": "k g ng hh hv y",
    "aa": "aa ae ah ay aw",
    "E": "eh ey ax",
    "ih": "iy ih ix",
    "oh": "ao ow oy",
    "ou": "uh uw w",
}
_ARPABET_CLASS = {phone: INDEX[name] for name, phones in _ARPABET.items() for phone in phones.split()}
_GLIDES = {"ay": ("aa", "ih"), "aw": ("aa", "ou"), "ey": ("E", "ih"), "ow": ("oh", "ou"), "oy": ("oh", "ih")}

_IPA = {
    "PP": "pbmɓ",
    "FF": "fvʋɱɸ",
    "TH": "θð",
    "DD": "tdnlɾɭɖʈɫɳɬɽ",
    "SS": "sz",
    "CH": "ʃʒɕʑʂʐɲʎ",
    "RR": "ɹrɚɝɻɜ",
    "kk": "kɡgŋhjxɣçqħʔʕɦcɟʁχʀɴ",
    "aa": "aɑʌæɐäɒ",
    "E": "ɛeəɤɘ",
    "ih": "iɪɨy",
    "oh": "oɔøœ",
    "ou": "uʊwɯʉɥʏβ",
}
_IPA_CLASS = {letter: INDEX[name] for name, letters in _IPA.items() for letter in letters}
_AFFRICATES = {"tʃ": "CH", "dʒ": "CH", "tɕ": "CH", "dʑ": "CH", "tʂ": "CH", "dʐ": "CH", "ts": "SS", "dz": "SS"}

# Festival's Italian, Finnish and Czech voices name phones in SAMPA-like ASCII; stress digits and length marks are cut.
_SAMPA = {
    "sil": "#",
    "PP": "p b m",
    "FF": "f v",
    "DD": "t d n l r l* d* t* n*",
    "SS": "s z ts dz c dz* s:",
    "CH": "tS dZ S Z L J s* z* c*",
    "kk": "k g h j ch N",
    "aa": "a a*",
    "E": "e E e*",
    "ih": "i y",
    "oh": "o O o* 7",
    "ou": "u w",
}
_SAMPA_CLASS = {phone: INDEX[name] for name, phones in _SAMPA.items() for phone in phones.split()}

VOICELESS_STOPS = frozenset(("p", "t", "k", "tʃ", "ts", "tɕ", "ph", "th", "kh", "pʰ", "tʰ", "kʰ", "t̪", "c"))
"""IPA names of stops and affricates whose silent closure espeak books to the previous sound."""


def from_arpabet(phone: str) -> list[int] | None:
    """Viseme indices of a flite or festival English phone (two for a diphthong), None where unknown."""
    if phone in _GLIDES:
        return [INDEX[name] for name in _GLIDES[phone]]
    return [_ARPABET_CLASS[phone]] if phone in _ARPABET_CLASS else None


def from_sampa(phone: str) -> list[int] | None:
    """Viseme indices of a phone of festival's Italian, Finnish and Czech voices, None where unknown."""
    bare = phone.rstrip(":123_")
    if not bare:
        return [SILENCE]
    return [_SAMPA_CLASS[bare]] if bare in _SAMPA_CLASS else None


def from_ipa(phone: str) -> list[int] | None:
    """Viseme indices of an IPA phone as espeak-ng reports it, None where it names no sound."""
    phone = unicodedata.normalize("NFD", phone)
    for mark in "ː̃ʲʰ̪̩ˑˈˌᵝ̞-":
        phone = phone.replace(mark, "")
    phone = phone.strip()
    if phone[:2] in _AFFRICATES:
        return [INDEX[_AFFRICATES[phone[:2]]]]
    classes = [_IPA_CLASS[letter] for letter in phone if letter in _IPA_CLASS]
    if not classes:
        return None
    if len(classes) >= 2 and classes[0] >= FIRST_VOWEL and classes[-1] >= FIRST_VOWEL:
        return [classes[0], classes[-1]]
    return classes[:1]
