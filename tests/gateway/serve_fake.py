"""``ailiance serve`` with fake workers: a process for the tests of serve. ARGS: config, worker."""

import asyncio
import sys
from pathlib import Path

from fleet.load import load_fleet
from gateway import logs
from gateway.serve import ServeOptions, bind, serve
from tests.gateway.harness import WordRouter

FAKE = str(Path(__file__).with_name("fake_worker.py"))


def main() -> int:
    config = Path(sys.argv[1])
    logs.configure()
    options = ServeOptions(
        config, worker=lambda *given: (sys.executable, FAKE, *given, *sys.argv[2:])
    )
    with bind(options.host, 0) as listener:
        return asyncio.run(serve(options, load_fleet(config), WordRouter(), listener))


if __name__ == "__main__":
    raise SystemExit(main())
