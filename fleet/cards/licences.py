"""Which words of a card are a licence. Pure.

Not the whole SPDX list: what data sets and models are published under, by SPDX id.
"""

import re

_IDS = """
0BSD AFL-3.0 AGPL-3.0 AGPL-3.0-only AGPL-3.0-or-later Apache-2.0 Artistic-2.0 BSD-2-Clause
BSD-3-Clause BSD-3-Clause-Clear BSL-1.0 C-UDA-1.0 CC-BY-1.0 CC-BY-2.0 CC-BY-2.5 CC-BY-3.0
CC-BY-4.0 CC-BY-NC-2.0 CC-BY-NC-3.0 CC-BY-NC-4.0 CC-BY-NC-ND-3.0 CC-BY-NC-ND-4.0
CC-BY-NC-SA-2.0 CC-BY-NC-SA-3.0 CC-BY-NC-SA-4.0 CC-BY-ND-4.0 CC-BY-SA-2.0 CC-BY-SA-2.5
CC-BY-SA-3.0 CC-BY-SA-4.0 CC0-1.0 CDLA-Permissive-1.0 CDLA-Permissive-2.0 CDLA-Sharing-1.0
CERN-OHL-P-2.0 CERN-OHL-S-2.0 CERN-OHL-W-2.0 ECL-2.0 EPL-1.0 EPL-2.0 EUPL-1.1 EUPL-1.2
etalab-2.0 GFDL-1.2 GFDL-1.3 GPL-2.0 GPL-2.0-only GPL-2.0-or-later GPL-3.0 GPL-3.0-only
GPL-3.0-or-later ISC LGPL-2.1 LGPL-2.1-only LGPL-2.1-or-later LGPL-3.0 LGPL-3.0-only
LGPL-3.0-or-later LPPL-1.3c MIT MIT-0 MPL-2.0 MS-PL NCSA ODbL-1.0 ODC-By-1.0 OFL-1.1 OGL-UK-3.0
OSL-3.0 PDDL-1.0 PostgreSQL PSF-2.0 Python-2.0 Unlicense UPL-1.0 WTFPL Zlib
"""
KNOWN = {name.casefold() for name in _IDS.split()}
UNKNOWN = {
    *("", "-", "—", "?", "other", "unknown", "merged", "mixed", "various", "none", "n/a", "na"),
    *("tbd", "todo", "unspecified", "not specified", "see source", "see notes", "proprietary"),
}
# says what kind, not which
_VAGUE = re.compile(
    r"(?:per-)?(?:vendor|source)?[- ]?(?:permissive|open|free|public)(?: licen[cs]e)?"
)
_BETWEEN = re.compile(r" ?[/,;&+] ?| (?:AND|OR|WITH|and|or) ")
_ASIDE = re.compile(r"\([^()]*\)")


def is_unknown(text: str | None) -> bool:
    """True where a source has no licence stated, or a word that is none."""
    words = (text or "").strip(" .").casefold()
    return words in UNKNOWN or _VAGUE.fullmatch(words) is not None


def strangers(text: str) -> list[str]:
    """The parts of a licence expression that are no SPDX id known here, nor a LicenseRef."""
    parts = [part.strip(" ()") for part in _BETWEEN.split(_ASIDE.sub(" ", text))]
    return [
        part
        for part in parts
        if part and part.casefold() not in KNOWN and not part.startswith("LicenseRef-")
    ]
