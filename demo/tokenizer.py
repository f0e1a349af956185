"""Train a byte-level BPE of 2,048 tokens for a base, and write it in the HF layout.

Sees what training sees: trained wordings, answers, general turns. No held-out text.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from demo.chat import ChatFormat

VOCAB_SIZE = 2048
MAX_POSITIONS = 2048


def train_tokenizer(texts: Iterable[str], chat: ChatFormat) -> Tokenizer:
    """Return a tokenizer learnt from ``texts``; plain encoding starts with ``<s>``."""
    tokenizer = Tokenizer(models.BPE(unk_token=None))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=chat.special_tokens,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A",
        pair="<s> $A $B",
        special_tokens=[("<s>", tokenizer.token_to_id("<s>"))],
    )
    return tokenizer


def write_tokenizer(tokenizer: Tokenizer, chat: ChatFormat, folder: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json and chat_template.jinja to ``folder``."""
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": chat.end,
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "model_max_length": MAX_POSITIONS,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    (folder / "chat_template.jinja").write_text(chat.template())
