"""Merging of metric families."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families

from gateway.exposition import render


def families(raw: bytes):
    return {f.name: f for f in text_string_to_metric_families(raw.decode())}


def registry_with(*metrics):
    registry = CollectorRegistry()
    for metric in metrics:
        registry.register(metric)
    return registry


def test_same_family_of_two_workers_stands_once():
    texts = [f'# TYPE vllm:x gauge\nvllm:x{{model_name="{m}"}} 1\n' for m in ("a", "b")]
    raw = render(CollectorRegistry(), texts)
    assert raw.count(b"# TYPE vllm:x gauge") == 1
    assert [s.labels["model_name"] for s in families(raw)["vllm:x"].samples] == ["a", "b"]


def test_same_series_twice_is_served_once():
    text = "# TYPE ailiance_rows gauge\nailiance_rows 1\n"
    assert len(families(render(CollectorRegistry(), [text, text]))["ailiance_rows"].samples) == 1


def test_families_of_another_type_and_of_processes_are_left_out():
    ours = Gauge("ailiance_x", "X.", registry=None)
    text = "# TYPE ailiance_x counter\nailiance_x 5\n# TYPE process_fds gauge\nprocess_fds 1\n"
    found = families(render(registry_with(ours), [text]))
    assert found["ailiance_x"].samples[0].value == 0
    assert "process_fds" not in found


def test_garbage_of_a_worker_is_left_out():
    assert render(CollectorRegistry(), ['ailiance_x{a="} 1', "ailiance_y 1\n"]) != b""


def test_counters_and_histograms_survive_without_created_series():
    counter = Counter("ailiance_n_total", "N.", ["k"], registry=None)
    counter.labels("v").inc()
    times = Histogram("ailiance_t_seconds", "T.", registry=None, buckets=(1.0,))
    times.observe(0.5)
    first = render(registry_with(counter, times), [])
    # what a worker serves passes unchanged
    assert render(CollectorRegistry(), [first.decode()]) == first
    assert b"_created" not in first
    assert b'ailiance_n_total{k="v"} 1.0' in first
    assert b'ailiance_t_seconds_bucket{le="1.0"} 1.0' in first
