"""The dashboard as its panels' queries, with Grafana's variables filled in."""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = ROOT / "docker/grafana/dashboards/ailiance.json"


def load_dashboard() -> dict[str, Any]:
    return json.loads(DASHBOARD.read_text())


def queries(rate_interval: str = "15s") -> dict[str, str]:
    """``panel title / refId`` -> PromQL that Prometheus itself can run."""
    dashboard = load_dashboard()
    values = {"__rate_interval": rate_interval}
    values |= {v["name"]: v["allValue"] for v in dashboard["templating"]["list"]}
    found: dict[str, str] = {}
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"]
            for name, value in values.items():
                expression = expression.replace(f"${name}", value)
            found[f"{panel['title']} / {target['refId']}"] = expression
    return found
