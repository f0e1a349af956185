"""Recognises clients' own prompts: make a title, make tags, suggest follow-ups.

Open WebUI and its kind send these as a user turn that quotes the conversation; classified as
content they would reach a specialist who answers the quoted question. Shapes taken from Open
WebUI's default templates (backend/open_webui/config.py) and LibreChat's title prompt.
"""

import re

_TASK_HEADER = re.compile(r"\A\s*#{1,4} *task\b", re.IGNORECASE)
_QUOTED_CHAT = re.compile(
    r"<chat_history>|<chat_messages>|### *chat history|\bchat history:|"
    r"<conversation>|conversation (?:above|below|history)|historique (?:de la conversation|"
    r"du chat|ci-dessous)",
    re.IGNORECASE,
)
# two searches rather than one pattern: on hostile texts that one took seconds
_USER_SAYS = re.compile(r"\A.{0,400}?\b(?:user|utilisateur|human) ?:", re.IGNORECASE | re.DOTALL)
_ASSISTANT_SAYS = re.compile(r"\n[^\S\n]{0,20}(?:assistant|ai) ?:", re.IGNORECASE)
_QUOTED_CHARS = 3400
_ASKED_FOR = re.compile(
    r"\b(?:title|titre|tags?|étiquettes?|mots-clés|follow-?up (?:questions?|prompts?|suggestions?)"
    r"|questions? de (?:relance|suivi)|search quer(?:y|ies)|autocomplet\w+|summar\w+|emoji"
    r"|résum\w+)\b",
    re.IGNORECASE,
)
_DIRECT = re.compile(
    r"\A\s*(?:please\s+)?(?:generate|create|write|provide|suggest|give|génère|donne|propose|écris"
    r"|crée|trouve)\b[^\n]{0,60}\b(?:title|titre|tags|étiquettes|follow-?ups?(?: questions?)?"
    r"|questions? de (?:relance|suivi))\b[^\n]{0,80}\b(?:conversation|chat|discussion|échange"
    r"|historique|messages?)\b",
    re.IGNORECASE,
)
_HEAD_CHARS = 1500


def is_housekeeping(text: str) -> bool:
    """Whether this user turn is a client's own errand rather than a person's question."""
    head = text[:_HEAD_CHARS]
    if _DIRECT.search(head):
        return True
    if not _ASKED_FOR.search(head[:600]):
        return False
    if _TASK_HEADER.search(head):
        return _quotes_chat(text[:6000]) or _quotes_chat(text[-6000:])
    return "<chat_history>" in text[-6000:] or bool(
        _quotes_chat(head) and re.match(r"\s{0,20}(?:generate|génère|create|you are)", head, re.I)
    )


def _quotes_chat(text: str) -> bool:
    if _QUOTED_CHAT.search(text):
        return True
    user = _USER_SAYS.search(text)
    if user is None:
        return False
    return bool(_ASSISTANT_SAYS.search(text, user.end(), user.end() + _QUOTED_CHARS))
