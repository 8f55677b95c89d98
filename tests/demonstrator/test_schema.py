"""The API keeps to what /openapi.json says, whatever is sent: schemathesis makes the requests."""

import pytest
import schemathesis
from demonstrator.brightness import Brightness, picture
from demonstrator.servers import served
from hypothesis import settings
from hypothesis import strategies as st

from mint_jax.demonstrator import Limits, create_app

ALIKE = {"deadline": None, "derandomize": True, "database": None}
APP = create_app(Brightness(), limits=Limits(burst=10**9))
SCHEMA = schemathesis.openapi.from_dict(APP.openapi())

for name, kind in (("jpeg", ".jpg"), ("png", ".png"), ("webp", ".webp")):
    files = st.builds(picture, st.integers(0, 255), st.integers(1, 4), st.just(kind))
    schemathesis.openapi.media_type(f"image/{name}", files)


@pytest.fixture(scope="module")
def address():
    with served(APP) as (_, found):
        yield found


@SCHEMA.parametrize()
@settings(max_examples=50, **ALIKE)
def test_all_checks_of_schemathesis(case, address):
    case.call_and_validate(base_url=address)


@pytest.mark.full
@SCHEMA.parametrize()
@settings(max_examples=3000, **ALIKE)
def test_all_checks_of_schemathesis_many_times(case, address):
    case.call_and_validate(base_url=address)
