"""docker/ without a Docker engine: what the files say is there, and they agree."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from gateway import cli as gateway_cli
from tests.docker.panels import ROOT, load_dashboard, queries
from wire import errors

DOCKER = ROOT / "docker"
DOCKERFILE = DOCKER / "Dockerfile"
ALERTS = DOCKER / "prometheus/alerts.yml"
KNOWN = {
    *("FROM", "WORKDIR", "COPY", "RUN", "LABEL", "ENV", "USER", "EXPOSE", "HEALTHCHECK"),
    *("ENTRYPOINT", "CMD"),
}


def instructions() -> list[tuple[str, str]]:
    """``(keyword, arguments)`` of each instruction; continuation lines joined."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    found = [line.partition(" ") for line in joined.splitlines() if line.strip()]
    return [(keyword, rest.strip()) for keyword, _, rest in found]


def compose() -> dict:
    return yaml.safe_load((DOCKER / "compose.yaml").read_text())


def in_context(path: str) -> bool:
    """Whether .dockerignore lets it into the build: everything is out but the ``!`` lines."""
    lines = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    return f"!{path}" in lines


def test_instructions_are_known_and_in_order():
    found = [keyword for keyword, _ in instructions()]
    assert set(found) <= KNOWN
    assert found[0] == "FROM"
    assert found.index("USER") < found.index("CMD")


def test_each_copied_source_exists_and_is_in_the_context():
    stages = {rest.split()[-1] for keyword, rest in instructions() if keyword == "FROM"}
    copied = 0
    for keyword, rest in instructions():
        if keyword != "COPY":
            continue
        words = shlex.split(rest)
        if words[0].startswith("--from="):
            assert words[0].removeprefix("--from=") in stages
            continue
        for source in words[:-1]:
            assert (ROOT / source).exists(), source
            assert in_context(source), source
            copied += 1
    assert copied > 5


def test_the_wheel_gets_all_of_its_packages():
    project = (ROOT / "pyproject.toml").read_text()
    found = re.search(r"\[tool\.hatch\.build\.targets\.wheel\]\npackages = \[(.*?)\]", project)
    assert found
    copied = {rest.split()[0] for keyword, rest in instructions() if keyword == "COPY"}
    assert set(re.findall(r'"(\w+)"', found[1])) <= copied


def test_image_runs_as_nobody_special_and_serves_on_its_port():
    said = dict(instructions())
    assert said["USER"] == "ailiance"
    assert said["EXPOSE"] == "9300"
    assert "/health" in said["HEALTHCHECK"]
    assert said["ENTRYPOINT"] == '["ailiance"]'
    command, (option, state) = yaml.safe_load(said["CMD"])[:5], yaml.safe_load(said["CMD"])[5:]
    assert command == ["serve", "--host", "0.0.0.0", "--port", "9300"]
    # stored responses outlive the container: a volume, whose folder is its user's in the image
    assert option == "--state"
    assert f"state:{state}" in compose()["services"]["gateway"]["volumes"]
    assert f"chmod 700 {state}" in said["RUN"]


def test_what_compose_mounts_is_there():
    volumes = set(compose()["volumes"])
    for name, service in compose()["services"].items():
        for mount in service["volumes"]:
            source = mount.split(":")[0]
            if source.startswith("."):
                assert (DOCKER / source).exists(), f"{name}: {source}"
            else:
                assert source in volumes, f"{name}: {source}"


def test_compose_builds_this_dockerfile_and_publishes_on_loopback_only():
    services = compose()["services"]
    build = services["gateway"]["build"]
    assert (DOCKER / build["context"] / build["dockerfile"]).resolve() == DOCKERFILE
    for service in services.values():
        assert "build" in service or re.search(r":v?\d+\.\d+", service["image"])
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        assert set(service.get("depends_on", [])) <= set(services)


def test_the_admin_key_is_a_secret_that_serve_reads():
    added = yaml.safe_load((DOCKER / "compose.admin.yaml").read_text())
    assert set(added) == {"services", "secrets"}
    assert set(added["services"]) == {"gateway"} <= set(compose()["services"])
    gateway = added["services"]["gateway"]
    assert set(gateway) == {"command", "secrets"}
    # the image's command is replaced: all of it, and the key
    command = gateway["command"]
    own = yaml.safe_load(dict(instructions())["CMD"])
    assert command[: len(own)] == own
    options = gateway_cli._parser().parse_args(command)
    [secret] = gateway["secrets"]
    assert options.admin_key_file == Path("/run/secrets") / secret
    # without the file's name Compose refuses to start; no key stands in the files
    assert set(added["secrets"]) == {secret}
    assert set(added["secrets"][secret]) == {"file"}
    assert re.fullmatch(r"\$\{AILIANCE_ADMIN_KEY_FILE:\?[^}]+\}", added["secrets"][secret]["file"])
    assert gateway_cli.admin_cli.VARIABLE not in str(compose())


def test_prometheus_and_grafana_look_at_services_of_compose():
    services = compose()["services"]
    scraped = yaml.safe_load((DOCKER / "prometheus/prometheus.yml").read_text())
    [job] = scraped["scrape_configs"]
    [target] = job["static_configs"][0]["targets"]
    host, _, port = target.partition(":")
    assert services[host]["ports"][0].endswith(f":{port}")
    for name in scraped["rule_files"]:
        mounts = " ".join(services["prometheus"]["volumes"])
        assert f"/etc/prometheus/{name}" in mounts
    source = datasource()
    assert source["url"] == "http://prometheus:9090"
    assert source["jsonData"]["timeInterval"] == scraped["global"]["scrape_interval"]


def datasource() -> dict:
    folder = DOCKER / "grafana/provisioning/datasources"
    [source] = yaml.safe_load((folder / "prometheus.yaml").read_text())["datasources"]
    return source


def test_dashboard_is_where_grafana_looks_and_uses_the_provisioned_source():
    provider = DOCKER / "grafana/provisioning/dashboards/ailiance.yaml"
    path = yaml.safe_load(provider.read_text())["providers"][0]["options"]["path"]
    grafana = compose()["services"]["grafana"]
    assert any(mount.split(":")[1] == path for mount in grafana["volumes"])
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (DOCKER / "grafana/dashboards" / Path(home).name).is_file()
    dashboard = load_dashboard()
    panels = dashboard["panels"]
    sources = {v["datasource"]["uid"] for v in dashboard["templating"]["list"]}
    sources |= {t["datasource"]["uid"] for p in panels for t in p.get("targets", [])}
    assert sources == {datasource()["uid"]}
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert not any("$" in query for query in queries().values())


def test_panels_do_not_overlap():
    taken: set[tuple[int, int]] = set()
    for panel in load_dashboard()["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def _classes(root: type[errors.AilianceError]) -> list[type[errors.AilianceError]]:
    return [root, *(c for child in root.__subclasses__() for c in _classes(child))]


# an UpstreamError carries the code of another
CODED = [kind for kind in _classes(errors.AilianceError) if kind is not errors.UpstreamError]


@pytest.mark.parametrize("kind", CODED, ids=lambda kind: kind.__name__)
def test_error_ratio_leaves_out_what_the_client_did(kind):
    left_out = re.search(r'error_type!~"([^"]*)"', ALERTS.read_text())
    assert left_out
    label = kind.default_code or kind.type
    assert (label in left_out[1].split("|")) == (kind.status < 500)


def _promtool(*arguments: str) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian's package prometheus)")
    done = subprocess.run(
        [promtool, *arguments], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_config_and_rules():
    _promtool("check", "config", str(DOCKER / "prometheus/prometheus.yml"))
    _promtool("check", "rules", str(ALERTS))


def test_each_alert_fires_and_stays_silent():
    cases = Path(__file__).parent / "alerts_test.yml"
    tested = re.findall(r"alertname: (\w+)", cases.read_text())
    assert set(re.findall(r"alert: (\w+)", ALERTS.read_text())) == set(tested)
    _promtool("test", "rules", str(cases))
