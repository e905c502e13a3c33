"""An object store and a file share read from real servers on this machine."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import boto3
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from moto import settings as moto_settings
from moto.core.responses import ActionAuthenticatorMixin
from moto.server import ThreadedMotoServer

from assistant.errors import InputError
from assistant.index.sources.files import Files
from assistant.settings import Source
from tests.fakes import azure as azure_fake
from tests.fakes import google as google_fake
from tests.fakes import sftp
from tests.fakes.serve import serving
from tests.index.conftest import Index, asker

pytestmark = pytest.mark.usefixtures("in_process")
MB = 1_000_000
READ = ["s3:ListBucket", "s3:GetObject"]


class Bucket:
    """A bucket of an S3 server that lets in one account, which may only read."""

    def __init__(self, address: str) -> None:
        self.address = address
        ways = {"endpoint_url": f"http://{address}", "region_name": "us-east-1"}
        owner = {"aws_access_key_id": "owner", "aws_secret_access_key": "owner"}
        self.client = boto3.client("s3", **ways, **owner)
        self.client.create_bucket(Bucket="handbook")
        iam = boto3.client("iam", **ways, **owner)
        name = f"reader-{uuid4().hex}"
        iam.create_user(UserName=name)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        self.key, self.secret = key["AccessKeyId"], key["SecretAccessKey"]
        policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": READ, "Resource": "*"}]}
        iam.put_user_policy(UserName=name, PolicyName="read", PolicyDocument=json.dumps(policy))

    def put(self, key: str, text: str) -> None:
        with pytest.MonkeyPatch.context() as open_door:
            open_door.setattr(moto_settings, "INITIAL_NO_AUTH_ACTION_COUNT", float("inf"))
            self.client.put_object(Bucket="handbook", Key=key, Body=text.encode())

    def remove(self, key: str) -> None:
        with pytest.MonkeyPatch.context() as open_door:
            open_door.setattr(moto_settings, "INITIAL_NO_AUTH_ACTION_COUNT", float("inf"))
            self.client.delete_object(Bucket="handbook", Key=key)

    def options(self, secret: str = "") -> str:
        told = {"access_key": self.key, "secret_key": secret or self.secret, "region": "us-east-1"}
        return json.dumps(told | {"endpoint_override": self.address, "scheme": "http"})


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        found = Bucket(f"{host}:{port}")
        monkeypatch.setattr(moto_settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0.0)
        monkeypatch.setattr(ActionAuthenticatorMixin, "request_count", 0)
        yield found
    finally:
        server.stop()


def source(url: str, **more: object) -> Source:
    return Source.model_validate({"name": "store", "kind": "files", "url": url, "secret_env": "STORE", **more})


async def test_a_bucket_is_indexed_and_followed_as_it_changes(
    index: Index, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORE", bucket.options())
    bucket.put("hr/holiday.md", "# Holiday\n\nThirty days of holiday.")
    bucket.put("hr/trips/by train #1.md", "# Trip\n\nTrains before planes.")
    bucket.put("hr/drafts/new.md", "# Draft\n\nTrains are too slow.")
    bucket.put("hr/picture.bin", "x")
    bucket.put("hr2/other.md", "# Other\n\nTrains of others.")
    wanted = source("s3://handbook/hr", include=["**/*.md"], exclude=["drafts/**"])
    first = await index.sync(None, wanted)
    assert (first.added, first.failed) == (2, [])
    assert sorted(await index.found("trains")) == ["holiday.md", "trips/by train #1.md"]
    (passage,) = (await index.knowledge.search(asker(), "thirty days", 1)).passages
    assert (await index.knowledge.original(asker(), passage.document_id)).data.startswith(b"# Holiday")
    again = await index.sync(None, wanted)
    assert (again.unchanged, again.embedded, again.release) == (2, 0, first.release)
    # The same size within the same second, as the store tells time.
    bucket.put("hr/holiday.md", "# Holiday\n\nTwenty days of holiday.")
    bucket.remove("hr/trips/by train #1.md")
    changed = await index.sync(None, wanted)
    assert (changed.changed, changed.removed, changed.unchanged) == (1, 1, 0)
    assert "Twenty" in (await index.knowledge.search(asker(), "days of holiday", 1)).passages[0].text


def test_a_wrong_key_is_said_and_not_shown(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE", bucket.options("wrong-secret"))
    with pytest.raises(InputError, match=r"refused the name or the key.*\n?.*Correct the value of STORE") as error:
        list(Files(source("s3://handbook/hr")).documents())
    assert "wrong-secret" not in str(error.value)


def test_a_bucket_that_is_not_there_or_a_server_that_does_not_answer_is_said(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORE", bucket.options())
    for url in ("s3://handbook/none", "s3://nobody/hr"):
        with pytest.raises(InputError, match="cannot be listed"):
            list(Files(source(url)).documents())
    monkeypatch.setenv("STORE", bucket.options().replace(bucket.address, "127.0.0.1:9"))
    with pytest.raises(InputError, match="cannot be listed"):
        list(Files(source("s3://handbook/hr")).documents())


@pytest.fixture
def share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Source]]:
    """Gives sources of an SFTP server over `tmp_path/share`."""
    (tmp_path / "share/docs/deep").mkdir(parents=True)
    known = tmp_path / "known_hosts"
    with sftp.serving(tmp_path / "share", known) as port:

        def made(**options: str) -> Source:
            told = {"username": sftp.NAME, "password": sftp.PASSWORD, "known_hosts": str(known), **options}
            ways = {"look_for_keys": False, "allow_agent": False, "skip_instance_cache": True}
            monkeypatch.setenv("STORE", json.dumps(told | ways))
            return source(f"sftp://127.0.0.1:{port}/docs", include=["**/*.md"])

        yield made


async def test_a_share_over_sftp_is_indexed_and_followed_as_it_changes(
    index: Index, share: Callable[..., Source], tmp_path: Path
) -> None:
    folder = tmp_path / "share/docs"
    (folder / "holiday.md").write_text("# Holiday\n\nThirty days of holiday.")
    (folder / "deep/trip.md").write_text("# Trip\n\nTrains before planes.")
    (folder / "notes.txt").write_text("Not asked for.")
    (tmp_path / "share/secret.md").write_text("# Secret\n\nOutside.")
    (folder / "link.md").symlink_to(tmp_path / "share/secret.md")
    first = await index.sync(None, share())
    assert first.added == 2
    assert [(f["path"], "links are not followed" in f["reason"]) for f in first.failed] == [("link.md", True)]
    assert (await index.sync(None, share())).unchanged == 2
    (folder / "holiday.md").write_text("# Holiday\n\nTwenty days of holiday.")
    (folder / "deep/trip.md").unlink()
    changed = await index.sync(None, share())
    assert (changed.changed, changed.removed) == (1, 1)


def test_a_share_with_a_wrong_password_or_an_unknown_host_is_said(share: Callable[..., Source], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="refused the name or the key") as error:
        list(Files(share(**{"password": "wrong-secret"})).documents())
    assert "wrong-secret" not in str(error.value)
    with pytest.raises(InputError, match="is not in"):
        list(Files(share(known_hosts=str(tmp_path / "none"))).documents())


@pytest.fixture
async def google(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[google_fake.Bucket]:
    """A bucket of Google's protocol; sources hold the key file of its reader."""

    async def at_once(_: float) -> None:
        """gcsfs tries six times over half a minute, a refused key too."""

    monkeypatch.setattr("gcsfs.retry.asyncio", SimpleNamespace(sleep=at_once))
    bucket = google_fake.Bucket()
    async with serving(bucket.app) as bucket.address:
        monkeypatch.setenv("STORE", google_options(bucket, token=bucket.account()))
        yield bucket


def google_options(bucket: google_fake.Bucket, **told: Any) -> str:
    return json.dumps({"endpoint_url": bucket.address} | told)


async def test_a_bucket_of_google_is_indexed_and_followed_as_it_changes(
    index: Index, google: google_fake.Bucket
) -> None:
    google.put("hr/", "")
    google.put("hr/holiday.md", "# Holiday\n\nThirty days of holiday.")
    google.put("hr/deep/", "")
    google.put("hr/deep/by train #1 & bus.md", "# Trip\n\nTrains before planes.")
    google.put("hr/deep/walk.md", "# Walk\n\nOn foot.")
    google.put("hr2/secret.md", "# Secret\n\nOutside.")
    bucket = source("gs://handbook/hr")
    first = await index.sync(None, bucket)
    assert (first.added, first.failed) == (3, [])
    assert google.lists == 3, "a list comes in pages"
    assert (await index.found("trains before planes"))[0] == "deep/by train #1 & bus.md"
    (passage,) = (await index.knowledge.search(asker(), "thirty days", 1)).passages
    assert (await index.knowledge.original(asker(), passage.document_id)).data.startswith(b"# Holiday")
    assert (await index.sync(None, bucket)).unchanged == 3
    # The same size within the same second.
    google.put("hr/holiday.md", "# Holiday\n\nTwenty days of holiday.")
    del google.objects["hr/deep/walk.md"]
    changed = await index.sync(None, bucket)
    assert (changed.changed, changed.removed, changed.unchanged) == (1, 1, 1)
    assert "Twenty" in (await index.knowledge.search(asker(), "days of holiday", 1)).passages[0].text


async def test_google_is_read_with_a_key_file_as_it_is_or_with_a_token(
    google: google_fake.Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    google.put("hr/holiday.md", "# Holiday")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", google.address)
    for options in (json.dumps(google.account()), google_options(google, token=google_fake.TOKEN)):
        monkeypatch.setenv("STORE", options)
        files = Files(source("gs://handbook"))
        (found,) = await asyncio.to_thread(list, files.documents())
        assert (await asyncio.to_thread(files.read, found.path, MB)).data == b"# Holiday"


async def test_google_with_a_wrong_key_or_bucket_is_said(
    google: google_fake.Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    google.put("hr/holiday.md", "# Holiday")
    for url in ("gs://handbook/none", "gs://nobody/hr"):
        with pytest.raises(InputError, match="cannot be listed"):
            await asyncio.to_thread(list, Files(source(url)).documents())
    other = google.account(rsa.generate_private_key(65537, 2048))
    for token in (other, "wrong-secret", "anon"):
        monkeypatch.setenv("STORE", google_options(google, token=token))
        with pytest.raises(InputError, match=r"refused the name or the key.*\n?.*value of STORE") as error:
            await asyncio.to_thread(list, Files(source("gs://handbook/hr")).documents())
        assert "wrong-secret" not in str(error.value)
        assert "PRIVATE KEY" not in str(error.value)
    for broken in ({}, other | {"private_key": "wrong-secret"}):
        monkeypatch.setenv("STORE", google_options(google, token=broken))
        with pytest.raises(InputError, match="Correct the value of STORE") as error:
            await asyncio.to_thread(list, Files(source("gs://handbook/hr")).documents())
        assert "wrong-secret" not in str(error.value)


@pytest.fixture
async def azure(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[azure_fake.Container]:
    """A container of Azure's protocol; sources hold the key of its account."""
    container = azure_fake.Container()
    async with serving(container.app) as address:
        monkeypatch.setenv("STORE", azure_options(address))
        container.address = address
        yield container


def azure_options(address: str, key: str = azure_fake.KEY) -> str:
    told = {"DefaultEndpointsProtocol": "http", "AccountName": azure_fake.ACCOUNT, "AccountKey": key}
    told["BlobEndpoint"] = f"{address}/{azure_fake.ACCOUNT}"
    return json.dumps({"connection_string": ";".join(f"{k}={v}" for k, v in told.items()), "skip_instance_cache": True})


async def test_a_container_of_azure_is_indexed_and_followed_as_it_changes(
    index: Index, azure: azure_fake.Container
) -> None:
    azure.put("hr/holiday.md", "# Holiday\n\nThirty days of holiday.")
    azure.put("hr/deep/by train #1 & bus.md", "# Trip\n\nTrains before planes.")
    azure.put("hr/deep/walk.md", "# Walk\n\nOn foot.")
    azure.put("hr2/secret.md", "# Secret\n\nOutside.")
    container = source("az://handbook/hr")
    first = await index.sync(None, container)
    assert (first.added, first.failed) == (3, [])
    assert azure.lists == 2, "a list comes in pages"
    assert (await index.found("trains before planes"))[0] == "deep/by train #1 & bus.md"
    assert (await index.sync(None, container)).unchanged == 3
    azure.put("hr/holiday.md", "# Holiday\n\nTwenty days of holiday.")
    del azure.blobs["hr/deep/walk.md"]
    changed = await index.sync(None, container)
    assert (changed.changed, changed.removed, changed.unchanged) == (1, 1, 1)
    assert "Twenty" in (await index.knowledge.search(asker(), "days of holiday", 1)).passages[0].text


async def test_azure_with_a_wrong_key_or_container_is_said(
    azure: azure_fake.Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    azure.put("hr/holiday.md", "# Holiday")
    for url in ("az://handbook/none", "az://nobody/hr"):
        with pytest.raises(InputError, match="cannot be listed"):
            await asyncio.to_thread(list, Files(source(url)).documents())
    wrong = base64.b64encode(b"wrong").decode()
    monkeypatch.setenv("STORE", azure_options(azure.address, wrong))
    with pytest.raises(InputError, match=r"refused the name or the key") as error:
        await asyncio.to_thread(list, Files(source("az://handbook/hr")).documents())
    assert wrong not in str(error.value)
