"""The form of `infra/terraform`, and that Terraform takes it; rules over what it makes are `test_what_it_makes.py`.

Everything here needs Terraform and its AWS provider, and is skipped without.
"""

import json
import re

import pytest
from terraform_tools import SOURCE, Terraform, copy_of_configuration, why_not

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


@pytest.fixture(scope="module")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    terraform = Terraform(copy_of_configuration(tmp_path_factory.mktemp("terraform") / "copy"))
    terraform.prepare("-backend=false")
    return terraform


def test_one_format(terraform: Terraform) -> None:
    terraform.call("fmt", "-check", "-recursive", "-diff", str(SOURCE))


def test_valid(terraform: Terraform) -> None:
    answer = json.loads(terraform.call("validate", "-json"))
    assert answer["valid"] and answer["diagnostics"] == []


def test_the_readme_has_every_output() -> None:
    text = (SOURCE / "README.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\| (`.*?) \|", text, re.MULTILINE))))
    outputs = set(re.findall(r'^output "(\w+)"', (SOURCE / "outputs.tf").read_text(encoding="utf-8"), re.MULTILINE))
    assert outputs - rows == set()
