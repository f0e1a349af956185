"""Train the adapters of a base: noisy wordings of one domain's questions -> its answers."""

from collections.abc import Sequence
from pathlib import Path

from demo.bases import load_base
from demo.chat import FORMATS
from demo.examples import Encoder, adapter_examples
from demo.export import write_adapter
from demo.fleet_plan import AdapterPlan
from demo.loop import Schedule, train
from demo.lora import reset, targeted, wrap
from demo.machine import Machine
from demo.records import read_records

SCHEDULE = Schedule(steps=450, rows=32, rate=4e-3, warmup_steps=30, weight_decay=0.01)


def train_adapters(
    base_folder: Path, plans: Sequence[AdapterPlan], out: Path, machine: Machine, seed: int
) -> None:
    """Train one adapter after another on the base in ``base_folder``; write to ``out``.

    All ``plans`` are of that base. An adapter's result depends on its own seed alone,
    not on which others were trained before it.
    """
    model, tokenizer = load_base(base_folder, machine)
    wrapped = wrap(model)
    model.to(machine.device).train()
    general = read_records("general")
    for plan in plans:
        encoder = Encoder(tokenizer, FORMATS[plan.base])
        reset(wrapped, seed)
        layers = targeted(wrapped, plan.attention_only)
        factors = [part for layer in layers.values() for part in (layer.lora_a, layer.lora_b)]
        examples = adapter_examples(read_records(plan.domain), general, encoder, seed)
        schedule = machine.adapter_schedule(SCHEDULE)
        train(model, factors, examples, schedule, f"adapter {plan.domain}")
        write_adapter(layers, plan, out / plan.domain)
        for parameter in model.parameters():
            parameter.grad = None
