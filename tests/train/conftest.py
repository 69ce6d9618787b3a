"""Small datasets that are written once."""

import pytest
import toy_data


@pytest.fixture(scope="session")
def train_data(tmp_path_factory):
    return toy_data.write_toy_dataset(tmp_path_factory.mktemp("data") / "train")


@pytest.fixture(scope="session")
def validation_data(tmp_path_factory):
    return toy_data.write_toy_dataset(tmp_path_factory.mktemp("data") / "validation", 6, first=50)
