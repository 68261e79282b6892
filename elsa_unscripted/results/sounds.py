"""The sounds of English: what a sound of the server's is in IPA, and in letters that a reader knows.

Called by `facts` and by the pages. The server names sounds in ARPAbet or in IPA; what is neither stays as it is.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Optional, Tuple

__all__ = ["Sound", "letters_of", "sound"]

# ARPAbet: IPA, the letters to call the sound by, a word that has it, and other ways in which it is often spelled.
_ENGLISH = {
    "AA": ("ɑ", "ah", "father", "a o"),
    "AE": ("æ", "a", "cat", "a"),
    "AH": ("ʌ", "u", "cup", "u o"),
    "AO": ("ɔ", "aw", "saw", "aw au al ou o"),
    "AW": ("aʊ", "ow", "now", "ow ou"),
    "AX": ("ə", "uh", "about", ""),
    "AXR": ("ɚ", "er", "letter", "er or ar"),
    "AY": ("aɪ", "i", "my", "igh i y"),
    "B": ("b", "b", "big", "bb b"),
    "CH": ("tʃ", "ch", "chair", "tch ch"),
    "D": ("d", "d", "day", "dd d"),
    "DH": ("ð", "th", "then", "th"),
    "DX": ("ɾ", "d", "ladder", ""),
    "EH": ("ɛ", "e", "bed", "ea e"),
    "EL": ("l̩", "l", "bottle", "le"),
    "EM": ("m̩", "m", "rhythm", ""),
    "EN": ("n̩", "n", "button", ""),
    "ER": ("ɝ", "er", "bird", "er ir ur ear"),
    "EY": ("eɪ", "ay", "day", "ay ai ey ei"),
    "F": ("f", "f", "fish", "ph ff f"),
    "G": ("ɡ", "g", "go", "gg g"),
    "HH": ("h", "h", "hat", "wh h"),
    "IH": ("ɪ", "i", "sit", "i"),
    "IX": ("ɨ", "i", "roses", ""),
    "IY": ("i", "ee", "see", "ee ea ie"),
    "JH": ("dʒ", "j", "job", "dge j"),
    "K": ("k", "k", "cat", "ck k c"),
    "L": ("l", "l", "leg", "ll l"),
    "M": ("m", "m", "man", "mm m"),
    "N": ("n", "n", "no", "nn kn n"),
    "NG": ("ŋ", "ng", "sing", "ng"),
    "NX": ("ɾ̃", "n", "winner", ""),
    "OW": ("oʊ", "oh", "go", "oa ow"),
    "OY": ("ɔɪ", "oy", "boy", "oy oi"),
    "P": ("p", "p", "pen", "pp p"),
    "Q": ("ʔ", "a stop", "uh-oh", ""),
    "R": ("ɹ", "r", "red", "rr wr r"),
    "S": ("s", "s", "see", "ss s"),
    "SH": ("ʃ", "sh", "she", "sh ti"),
    "T": ("t", "t", "ten", "tt t"),
    "TH": ("θ", "th", "think", "th"),
    "UH": ("ʊ", "oo", "book", "oo"),
    "UW": ("u", "oo", "moon", "oo ew ue"),
    "UX": ("ʉ", "oo", "dude", ""),
    "V": ("v", "v", "very", "v"),
    "W": ("w", "w", "we", "wh w"),
    "WH": ("ʍ", "wh", "why", "wh"),
    "Y": ("j", "y", "yes", "y"),
    "Z": ("z", "z", "zoo", "zz z s"),
    "ZH": ("ʒ", "zh", "measure", "s"),
}
_BY_IPA = {ipa: name for name, (ipa, *_) in _ENGLISH.items()}
_BY_IPA.update(
    {
        "r": "R",
        "g": "G",
        "e": "EH",
        "iː": "IY",
        "uː": "UW",
        "ɔː": "AO",
        "ɑː": "AA",
        "ɜː": "ER",
        "əʊ": "OW",
        "ʧ": "CH",
        "ʤ": "JH",
    }
)
_BY_IPA.update({"t͡ʃ": "CH", "d͡ʒ": "JH"})


class Sound(NamedTuple):
    """A sound, in three notations. Of one that isn't known, each is what the server called it.

    Attributes:
        arpabet: In ARPAbet.
        ipa: In IPA.
        letters: As a reader of English would write it: "th", "ee".
        example: A word that has it; `""` if the sound isn't known.
    """

    arpabet: str
    ipa: str
    letters: str
    example: str = ""


def sound(symbol: Optional[str]) -> Sound:
    """Returns the sound that the server calls by this symbol, of ARPAbet or IPA."""
    given = (symbol or "?").strip() or "?"
    bare = given.strip("/[]ˈˌ")
    name = bare.upper().rstrip("012")
    name = "HH" if name == "H" else name
    # `b` is IPA, and the same in ARPAbet; but `j` is IPA's "y".
    found = _BY_IPA.get(bare) or (name if name in _ENGLISH else "")
    if not found:
        return Sound(given, given, given)
    ipa, letters, example, _ = _ENGLISH[found]
    return Sound(found, ipa, letters, example)


def letters_of(word: str, symbol: Optional[str]) -> Optional[Tuple[int, int]]:
    """Returns where the letters of a sound are in a word; `None` where several places, or none, could be meant."""
    found = _ENGLISH.get(sound(symbol).arpabet)
    spellings = found[3].split() if found else []
    places = list(re.finditer("|".join(map(re.escape, spellings)), word.lower())) if spellings else []
    # The lower-case form of a few letters is longer than the letter: then the places would be those of another text.
    return places[0].span() if len(places) == 1 and len(word.lower()) == len(word) else None
