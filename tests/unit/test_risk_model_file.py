import hashlib
import json
import shutil
from importlib.resources import as_file, files
from pathlib import Path

import pytest

from ecs.domain.credit import artefacts
from ecs.integrations.exceptions import IntegrationError, RiskModelError
from ecs.integrations.risk_model_file import POLICY_FILE, load_risk_model

CARD_FILE = "ecs-fin-0.1.0.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (POLICY_FILE, CARD_FILE):
        with as_file(files(artefacts) / name) as file:
            shutil.copy(file, tmp_path / name)
    return tmp_path


class TestLoadRiskModel:
    def test_reads_what_this_release_ships(self) -> None:
        model = load_risk_model()
        assert model.policy.model == model.scorecard.reference

    @pytest.mark.parametrize("name", [POLICY_FILE, CARD_FILE])
    def test_names_a_file_that_cannot_be_read(self, folder: Path, name: str) -> None:
        (folder / name).unlink()
        with pytest.raises(RiskModelError, match=f"{name} cannot be read") as raised:
            load_risk_model(folder)
        assert raised.value.file_name == name
        assert isinstance(raised.value, IntegrationError)

    @pytest.mark.parametrize("name", [POLICY_FILE, CARD_FILE])
    def test_refuses_a_file_that_differs_by_a_byte(self, folder: Path, name: str) -> None:
        with (folder / name).open("ab") as file:
            file.write(b"\n")
        with pytest.raises(RiskModelError, match=f"{name} is not the registered file"):
            load_risk_model(folder)

    def test_names_a_registered_file_that_breaks_its_schema(self, folder: Path) -> None:
        (folder / POLICY_FILE).write_bytes(b"{}")
        with pytest.raises(RiskModelError, match=f"{POLICY_FILE} schema is missing"):
            load_risk_model(folder, policy_sha256=hashlib.sha256(b"{}").hexdigest())

    def test_refuses_a_card_that_is_not_what_its_name_says(self, folder: Path) -> None:
        policy = json.loads((folder / POLICY_FILE).read_bytes())
        policy["model"]["version"] = "0.2.0"
        raw = json.dumps(policy).encode()
        (folder / POLICY_FILE).write_bytes(raw)
        (folder / CARD_FILE).rename(folder / "ecs-fin-0.2.0.json")
        with pytest.raises(RiskModelError, match="another model than its name"):
            load_risk_model(folder, policy_sha256=hashlib.sha256(raw).hexdigest())
