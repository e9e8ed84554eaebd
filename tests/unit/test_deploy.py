"""The files in deploy/ fit the program, as far as that shows without the programs that use them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from corpus import CHECKOUT

from aggregator import cli
from aggregator.config import load_config
from aggregator.config.schema import config_schema

DEPLOY = CHECKOUT / "deploy"
DOCKERFILE = (DEPLOY / "docker" / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "docker" / "compose.yaml").read_text())
SCALING: dict[str, Any] = yaml.safe_load((DEPLOY / "scaling" / "compose.yaml").read_text())


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile with their arguments."""
    text = re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line)]


@pytest.mark.parametrize("path", sorted(DEPLOY.rglob("*.toml")), ids=lambda path: path.parent.name)
def test_a_config_of_deploy_is_valid_and_names_the_folders_of_the_page(path: Path) -> None:
    config = load_config(path, env={})
    assert config.warnings == ()
    assert config.site.id == "feeds.example.org"
    assert config.sources[0].root == "/var/lib/aggregator/incoming"
    assert str(config.output.path) == "/var/lib/aggregator/output"
    assert config.store.url == "sqlite:////var/lib/aggregator/data/aggregator.db"


def test_the_unit_runs_the_service_with_the_config_of_the_page() -> None:
    unit = (DEPLOY / "systemd" / "aggregator.service").read_text()
    command = re.search(r"^ExecStart=/opt/aggregator/bin/aggregator (\w+) --config (\S+)$", unit, re.MULTILINE)
    assert command
    assert command[1] in cli.COMMANDS
    page = (CHECKOUT / "docs" / "operating.md").read_text()
    assert f"deploy/aggregator.toml {command[2]}" in page
    assert "python3 -m venv /opt/aggregator" in page
    assert "\n[Install]\nWantedBy=multi-user.target\n" in unit


def test_the_image_is_built_from_files_that_are_there_and_let_in() -> None:
    let_in = [
        line[1:] for line in (DEPLOY / "docker" / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"
    ]
    copied = [
        source
        for word, rest in instructions()
        if word == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    ]
    assert len(copied) > 3
    assert sorted(copied) == sorted(let_in)
    assert all((CHECKOUT / source).exists() for source in copied)


def test_the_container_has_a_user_a_health_check_and_runs_commands_that_exist() -> None:
    last = dict(instructions())  # of each instruction the last
    assert last["USER"] == "10001:10001"
    assert last["ENTRYPOINT"] == '["aggregator"]'
    assert last["CMD"] == '["run"]'
    check = re.search(r'CMD \["aggregator", "(\w+)"\]$', last["HEALTHCHECK"])
    assert check
    assert {check[1], "run"} <= cli.COMMANDS.keys()
    config = tomllib.loads((DEPLOY / "docker" / "aggregator.toml").read_text())
    assert last["EXPOSE"] == str(config["serve"]["port"])
    assert config["serve"]["host"] == "0.0.0.0"
    assert "AGGREGATOR_CONFIG=/etc/aggregator/aggregator.toml" in last["ENV"]


def test_compose_runs_the_image_without_rights_beside_its_database() -> None:
    service, database = COMPOSE["services"]["aggregator"], COMPOSE["services"]["postgres"]
    assert (DEPLOY / "docker" / service["build"]["context"] / service["build"]["dockerfile"]).exists()
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert service["command"][0] in cli.COMMANDS
    volumes = {volume.partition(":")[0] for one in (service, database) for volume in one["volumes"]}
    assert volumes == {"./incoming", *COMPOSE["volumes"]}
    assert_variables_are_keys(service["environment"])
    url = service["environment"]["AGGREGATOR_STORE__URL"]
    assert url == f"postgresql+psycopg://{database['environment']['POSTGRES_USER']}@postgres/aggregator"
    assert service["environment"]["PGPASSWORD"] == database["environment"]["POSTGRES_PASSWORD"]


def assert_variables_are_keys(environment: dict[str, str]) -> None:
    """Each variable of the program overrides a key that the config has."""
    tables = config_schema()["properties"]
    for name in environment:
        if name.startswith("AGGREGATOR_"):
            table, _, key = name.removeprefix("AGGREGATOR_").lower().partition("__")
            assert key in config_schema()["$defs"][tables[table]["$ref"].rpartition("/")[2]]["properties"]


def test_compose_for_scaling_runs_two_services_over_one_database_and_one_bucket() -> None:
    services = SCALING["services"]
    first, second = services["aggregator-1"], services["aggregator-2"]
    assert first == second
    assert (DEPLOY / "scaling" / first["build"]["context"] / first["build"]["dockerfile"]).exists()
    assert_variables_are_keys(first["environment"])
    assert set(first["depends_on"]) <= services.keys()
    assert first["environment"]["AWS_SECRET_ACCESS_KEY"] == services["s3"]["environment"]["AWS_SECRET_ACCESS_KEY"]
    assert first["environment"]["PGPASSWORD"] == services["postgres"]["environment"]["POSTGRES_PASSWORD"]
    assert services["postgres"] == COMPOSE["services"]["postgres"] | {
        "environment": services["postgres"]["environment"]
    }
    s3_host, s3_port = re.fullmatch(r"http://([\w-]+):(\d+)", first["environment"]["AWS_ENDPOINT_URL"]).groups()  # type: ignore[union-attr]
    assert f"-s3.port={s3_port}" in services[s3_host]["command"]
    nginx = (DEPLOY / "scaling" / "nginx.conf").read_text()
    port = tomllib.loads((DEPLOY / "docker" / "aggregator.toml").read_text())["serve"]["port"]
    assert re.findall(r"^    server (\S+) ", nginx, re.MULTILINE) == [f"aggregator-1:{port}", f"aggregator-2:{port}"]
    published = services["nginx"]["ports"][0].split(":")
    assert f"listen {published[-1]};" in nginx
    assert first["environment"]["AGGREGATOR_SITE__BASE_URL"] == f"http://127.0.0.1:{published[1]}/"
    named = {volume.partition(":")[0] for service in services.values() for volume in service["volumes"]}
    assert named == {"./incoming", "./nginx.conf", *SCALING["volumes"]}


def test_an_upgrade_from_the_checkout_installs_no_module_of_another_version() -> None:
    """setuptools keeps what it built in build/lib, and installs it again."""
    page = (CHECKOUT / "docs" / "operating.md").read_text()
    for line in re.findall(r"^sudo .*pip install --upgrade .*$", page, re.MULTILINE):
        before = page[: page.index(line)].splitlines()[-1]
        assert before.startswith("sudo rm -rf build/lib "), line


def test_no_sample_of_a_proxy_shows_the_probes_to_the_public() -> None:
    """They name paths of the machine and its database."""
    for name, refusals in {
        "nginx-proxy.conf": "\nlocation ~ ^/feeds/(healthz|readyz)$ {\n    return 404;\n}\n",
        "Caddyfile.proxy": "\t\t@probes path /healthz /readyz\n\t\trespond @probes 404\n",
    }.items():
        assert refusals in (DEPLOY / "web" / name).read_text()
