"""Strong cues: code fences, file names, part numbers, values, standards.

Finds them; the head learns what each is worth. Words and spelling are features.py's job.
Every search is a plain substring or a match on one token, so that 6,000 characters take well
under a millisecond and no pattern can backtrack over a long text.
"""

import re
from collections.abc import Iterable

MAX_TOKENS = 140
SEARCHED_CHARS = 1500

# cue -> substrings of the lower-cased text, any of which raises it
_SUBSTRINGS: dict[str, tuple[str, ...]] = {
    "fence": ("```",),
    "fence_python": ("```python", "```py\n"),
    "fence_cpp": ("```cpp", "```c++", "```c\n"),
    "c_include": ("#include",),
    "c_macro": ("#define", "#ifdef", "#pragma"),
    "c_code": ("int main", "void ", "printf(", "malloc(", "uint8_t", "uint32_t", "sizeof("),
    "cpp_code": ("std::", "nullptr", "template<", "template <", "cout", "constexpr", "_ptr<"),
    "cpp_words": ("c++", "g++", "clang", "cmake", "undefined reference", "segfault", "valgrind"),
    "python_code": ("def ", "self.", "__init__", "import ", ">>>", "elif ", "lambda ", "async def"),
    "python_words": ("python", "pip install", "pytest", "traceback", "numpy", "pandas", "asyncio"),
    "spice_card": (
        ".subckt",
        ".model",
        ".tran",
        ".ac ",
        ".dc ",
        ".meas",
        ".param",
        ".step",
        ".four",
        ".lib",
        ".ends",
        ".noise",
        ".op\n",
        ".options",
    ),
    "spice_tool": ("spice", "netlist", "pspice", "qucs", "xyce"),
    "kicad": ("kicad", "(footprint", "(symbol", "gerber", "pcbnew", "eeschema"),
    "firmware_call": ("hal_", "digitalwrite", "gpio_", "xtask", "nrf_", "esp_", "k_sleep", "__isr"),
    "firmware_words": ("freertos", "zephyr", "platformio", "esp-idf", "arduino", "stm32", "esp32"),
    "iot_words": ("mqtt", "lorawan", "zigbee", "matter", "home assistant", "ble ", "ttn", "nb-iot"),
    "latex": ("\\frac", "\\int", "\\sum", "\\sqrt", "\\begin", "$$", "\\lim"),
    "maths_sign": ("∫", "∑", "√", "∞", "≤", "≥", "∂", "∀", "∃", "x^2", "x²", "f(x)", "sin(", "e^"),
    "url": ("http://", "https://"),
    "sql": ("select ", "inner join", "group by", "insert into"),
    "web": ("<div", "css", "react", "javascript", "typescript", "html", "npm "),
    "other_code": ("fn main", "println!", "public static", "func ", "=> {", "<?php", "kubectl"),
    "shell_prompt": ("\n$ ", "sudo ", "systemctl", "chmod "),
}

_UNITS = {
    "ohm": r"(?:[kmr]?(?:ohms?|ω)|[kmr]\d*)",
    "farad": r"[pnuμm]f?",
    "henry": r"[pnuμm]?h",
    "volt": r"(?:[mkuμ]?v(?:dc|ac|pp|rms)?|volts?)",
    "amp": r"(?:[mnuμ]?a|amps?)",
    "watt": r"[mk]?w",
    "hertz": r"(?:k|m|g)?hz",
    "samples": r"(?:[kmg]?sps|ksa/s|msa/s|bits?|taps?)",
    "decibel": r"(?:db[a-zμ]*(?:/[a-z]+)?)",
    "field": r"(?:[umμ]?v/m|kv)",
    "battery": r"m?ah|[1-9]s\d*p?",
    "baud": r"(?:bauds?|[km]?bps|[km]bit/s)",
    "second": r"[mnuμ]s",
}
_NUMBER = r"[+-]?\d+(?:[.,]\d+)?"

# cue -> pattern of one whole token (lower-cased, outer punctuation gone)
_TOKENS: dict[str, str] = {
    "python_file": r".+\.(?:py|ipynb|whl|pyi)|requirements\.txt|pyproject\.toml|setup\.py",
    "c_file": r".+\.(?:cpp|cc|cxx|hpp|hh|h|c|o|so)|cmakelists\.txt|makefile",
    "spice_file": r".+\.(?:cir|sp|asc|asy|raw|ckt|spice)",
    "kicad_file": r".+\.(?:kicad_\w+|gbr|drl|dsn|ses|step|pretty)",
    "firmware_file": r".+\.(?:ino|ioc|elf|hex|ld|dts|dtsi|overlay|uf2)|prj\.conf|platformio\.ini",
    "web_file": r".+\.(?:js|ts|tsx|jsx|css|html|php|rs|go|java|kt|rb|swift|sql|docx?|xlsx?)",
    "mcu": r"(?:stm32|esp32|esp8266|nrf5[1234]|nrf9|atmega|attiny|rp20[345]0|samd|pic(?:16|18|32)"
    r"|msp430|gd32|ch32|lpc|mkl|kl25|imxrt|teensy|cortex|c2000|tms320)[\w-]*",
    "analog_ic": r"(?:lm3(?:58|24|9[13]|11|31)|tl0[6-8]\d|ne55\d+|opa\d+|ad[68]\d{2,3}|ina\d+"
    r"|mcp6\d+|lt10\d\d|lmv?\d{3}|ne?555|ada\d+|ads\d+|ths\d+|max4\d+|ref\d+)\w*",
    "transistor": r"(?:irf\w*\d|bss\d+|2n\d{4}|bc[58]\d\d|bd\d{3}|ao34\d\d|si2\d+|tip\d+|fqp\d+"
    r"|1n\d{4}|bat\d+|bav\d+|mmbt\w+|csd\d+|bf\d{3}|2sc\d+|j201|mje\d+)\w*",
    "power_ic": r"(?:lm(?:317|78\d\d|25\d\d|338|26\d\d)|78[lm]?\d\d|ams1117|tps\d+|ltc\d+|ucc\d+"
    r"|mp[1-9]\d{3}|bq\d+|tp4056|ir21\d+|uc384\d|viper\d+|xl\d{4}|mt3608|lt[38]\d{3}|ncp\d+)\w*",
    "logic_ic": r"(?:sn)?74\w{0,4}\d{2,4}\w?|cd4\d{3}\w?|hef4\d+\w?|txs0\d+\w?|txb0\d+\w?",
    "sensor_ic": r"(?:bm[ep]\d{3}|mpu\d{4}|ds18b20|dht\d\d|hx711|sht\d\d|vl53\w+|sx12\d+|rfm9\d"
    r"|nrf24\w*|cc[12]\d{3}|mcp2515|a4988|drv8\d+|tmc\d+|pt100\d?|ws2812\w?)",
    "refdes": r"(?:[rclqdujlk]|sw|tp|ic|fb)\d{1,3}",
    "spice_node": r"[vierlcdqmxbg]\w{1,6}=.+|[vi]\(\w+(?:,\w+)?\)|pwl\(.*|pulse\(.*|sin\(.*",
    "hex": r"0x[0-9a-f]{2,16}",
    "emc_standard": r"(?:en|iec|cispr|cei)?-?(?:550[123]\d|61000(?:-\d+)*|cispr-?\d\d|60601|5502\d)"
    r"|61326|62368|7637(?:-\d)?|11452(?:-\d)?|do-?160\w?|mil-std-461\w?|ce10[12]|re102|rs103",
    "security_id": r"cve-\d{4}-\d+|cwe-\d+|aes(?:-?\d+)?(?:-\w+)?|rsa-?\d*|sha-?\d+|tls1?\.?\d*"
    r"|ecdsa|ed25519|hmac|oauth2?|jwt|xss|csrf|sqli|owasp|nmap|fail2ban|iso-?27001|2700[12]|62443",
    "py_error": r"\w+(?:error|exception):?|pep-?\d+",
    "scope": r"\w+::\w+.*|\w+->\w+.*|\w+<\w+>",
    "path": r"[./~]?(?:/[\w.-]+){2,}",
    "call": r"[a-z_][\w.]*\(.*\)?",
    "equation": r".*[a-z0-9)]\^[0-9n(].*|\d*[xyz][+*/=-].*|[a-z]'{1,2}\(?\w?\)?",
    "snake": r"[a-z]+(?:_[a-z0-9]+)+",
    "package": r"(?:sot|so|qfn|tssop|tqfp|lqfp|bga|dip|soic|dpak|d2pak)-?\d+|0[468]0[235]|1206",
} | {f"value_{name}": rf"{_NUMBER}(?:{unit})" for name, unit in _UNITS.items()}

# cue -> the word before and the number after: "EN 55032" written with a blank
_PAIRS: dict[str, re.Pattern[str]] = {
    "emc_standard": re.compile(
        r"\b(?:en|iec|cispr|cei|vde|nf en)[ -]?(?:55\d{3}|61000|61326|60601|1[1-6]|2[25]|32)\b"
        r"|\biso ?(?:7637|11452|10605|16750)|\bmil-std-461|\bdo-?160|\bfcc part"
    ),
    "security_id": re.compile(r"\biec ?62443|\biso ?2700\d|\bowasp top|\bnis ?2\b"),
    "rfc": re.compile(r"\brfc ?\d{3,4}"),
}

_LINES: dict[str, re.Pattern[str]] = {
    "spice_line": re.compile(r"^[rclviqmdx]\w{0,8} +\w+ +\w+ +[\w{=.-]", re.MULTILINE),
    "code_line": re.compile(r"[;{}]$", re.MULTILINE),
    "log_line": re.compile(r"^\[?\d\d[:\d.\]-]+ ", re.MULTILINE),
}

NAMES: tuple[str, ...] = tuple(
    sorted({*_SUBSTRINGS, *_TOKENS, *_PAIRS, *_LINES, "many_digits", "non_latin", "many_lines"})
)
"""All cues, in the order of their columns."""

_COLUMN = {name: column for column, name in enumerate(NAMES)}
_TOKEN = [(_COLUMN[name], re.compile(pattern)) for name, pattern in _TOKENS.items()]
# most tokens match none: one search says so instead of forty
_ANY_TOKEN = re.compile("|".join(f"(?:{pattern})" for pattern in _TOKENS.values()))
# a number and its unit, written with a blank: read as one token
_SPACED_VALUE = re.compile(r"(?<![\w.])(\d+(?:[.,]\d+)?) ([a-zωμ/]{2,7}|[vawh])(?!\w)")
_HAS_MARK = re.compile(r"[\d._/(:<>^=\\*'-]")
_OUTER = "\"'`,;!?«»“”[]{}:"
_WORDY = re.compile(
    r"aes|rsa|ecdsa|hmac|jwt|xss|csrf|sqli|owasp|nmap|makefile|cortex|teensy|\w+(?:error|exception)"
)


def find(text: str) -> list[int]:
    """Columns of the cues in a lower-cased text, ascending. Never raises."""
    found = {_COLUMN[name] for name, parts in _SUBSTRINGS.items() if any(p in text for p in parts)}
    head = text[:SEARCHED_CHARS]
    tokens = [token.strip(_OUTER) for token in text.split()]
    tokens = list(dict.fromkeys(tokens))[:MAX_TOKENS]
    found.update(_of_tokens([*tokens, *map("".join, _SPACED_VALUE.findall(head))]))
    for patterns in (_PAIRS, _LINES):
        found.update(_COLUMN[name] for name, pattern in patterns.items() if pattern.search(head))
    if sum(map(str.isdigit, head)) > 0.15 * len(head):
        found.add(_COLUMN["many_digits"])
    if text.count("\n") > 4:
        found.add(_COLUMN["many_lines"])
    if sum(character > "\u0370" for character in text[:400]) > 0.3 * min(len(text), 400):
        found.add(_COLUMN["non_latin"])
    return sorted(found)


def _of_tokens(tokens: Iterable[str]) -> set[int]:
    found: set[int] = set()
    for token in tokens:
        if len(token) > 40:
            token = token[-40:]
        marked = _HAS_MARK.search(token) or _WORDY.fullmatch(token)
        if marked and _ANY_TOKEN.fullmatch(token):
            found.update(column for column, pattern in _TOKEN if pattern.fullmatch(token))
    return found
