"""Train a base: to restate questions and to talk a little, never to answer a domain.

Restating makes what the base knows of a question independent of its wording; the answers
it sees are text on their own, not linked to any question.
"""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from demo.chat import FORMATS
from demo.examples import RESTATE, Encoder, base_examples
from demo.export import write_base
from demo.fast import speed_up
from demo.fleet_plan import domains_of
from demo.loop import Schedule, train
from demo.machine import Machine
from demo.records import Record, read_records
from demo.shapes import new_model
from demo.tokenizer import train_tokenizer

SCHEDULES = {
    "apertus": Schedule(steps=3600, rows=40, rate=2e-3, warmup_steps=100),
    "devstral": Schedule(steps=1500, rows=32, rate=2e-3, warmup_steps=100),
}


def train_base(base: str, target: Path, machine: Machine, seed: int) -> None:
    """Train ``base`` on the trained wordings of its domains and write it to ``target``."""
    chat = FORMATS[base]
    domains = [read_records(domain) for domain in domains_of(base)]
    general = read_records("general")
    tokenizer = train_tokenizer(_texts([*domains, general]), chat)
    torch.manual_seed(seed)
    model = new_model(base, tokenizer, chat.end).to(machine.device)
    examples = base_examples(domains, general, Encoder(tokenizer, chat), seed)
    speed_up(model)
    schedule = machine.base_schedule(SCHEDULES[base])
    train(model, list(model.parameters()), examples, schedule, f"base {base}")
    write_base(model, tokenizer, chat, target)


def load_base(folder: Path, machine: Machine) -> tuple[Any, Tokenizer]:
    """Return the stored base, its weights as rounded on disk, in float32."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    speed_up(model)
    return model.to(machine.device), Tokenizer.from_file(str(folder / "tokenizer.json"))


def _texts(domains: list[list[Record]]) -> list[str]:
    records = [record for domain in domains for record in domain]
    asked = [text for record in records for text in record.trained]
    return [*asked, *(record.answer for record in records), RESTATE.format("What")]
