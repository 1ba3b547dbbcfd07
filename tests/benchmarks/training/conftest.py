import pytest


@pytest.fixture(autouse=True)
def _without_data(request):
    if "data_root" not in request.fixturenames:
        request.getfixturevalue("without_data")
