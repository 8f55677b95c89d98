"""The platform over a small examiner."""

import pytest
from demonstrator.brightness import Brightness, picture
from starlette.testclient import TestClient

from mint_jax.demonstrator import Example, Limits, create_app


@pytest.fixture
def examiner() -> Brightness:
    return Brightness()


@pytest.fixture
def serve(examiner):
    """Starts the platform over the examiner with limits of its own."""
    clients = []

    def start(**limits) -> TestClient:
        examples = [Example("one", [picture(250), picture(240)], True)]
        examples.append(Example("<two>", [picture(60)], False))
        many = {"burst": 10**6} | limits
        client = TestClient(create_app(examiner, limits=Limits(**many), examples=examples))
        clients.append(client.__enter__())
        return client

    yield start
    examiner.open.set()
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def client(serve) -> TestClient:
    return serve()
