"""Addresses of galleries: which texts are one, and that none holds a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.gallery_address import TOKEN_VARIABLE, GalleryAddress, gallery_place


@pytest.mark.parametrize("text", ["gallery.npz", "/a/b.index", "a:b/c.npy", "X://a/b", "-", "c:\\x.npz"])
def test_other_texts_are_files(text: str) -> None:
    assert gallery_place(text) == Path(text)


def test_the_parts_of_an_address() -> None:
    found = gallery_place("milvus://db.example:19530/products?name=path&vector=clip")
    assert found == GalleryAddress("milvus", "db.example:19530", "products", {"name": "path", "vector": "clip"})
    assert str(found) == "milvus://db.example:19530/products"
    assert found.title == "milvus:products"
    embedded = gallery_place("milvus:///data/shop/gallery.db/products")
    assert isinstance(embedded, GalleryAddress)
    assert (embedded.place, embedded.title) == ("/data/shop/gallery.db", "milvus:products")


@pytest.mark.parametrize(
    "text", ["milvus://", "milvus://host", "milvus://host/", "milvus:///x", "m://a/b?name", "m://a/b?=1"]
)
def test_a_missing_part_is_named(text: str) -> None:
    with pytest.raises(InvalidInput, match="is no address of a gallery"):
        gallery_place(text)


def test_no_message_repeats_a_secret() -> None:
    with pytest.raises(InvalidInput, match="holds a user or a password") as raised:
        gallery_place("milvus://root:s3cret@host:19530/products")
    assert "s3cret" not in raised.value.message + raised.value.hint
    address = gallery_place("milvus://host:1/products?token=s3cret")
    assert isinstance(address, GalleryAddress)
    with pytest.raises(InvalidInput, match="unknown option 'token'") as raised:
        address.allow("name")
    assert "s3cret" not in raised.value.message + raised.value.hint
    assert TOKEN_VARIABLE in raised.value.hint


def test_the_token_is_in_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    address = GalleryAddress("milvus", "host:1", "products")
    tokens = [address.token]
    monkeypatch.setenv(TOKEN_VARIABLE, "s3cret")
    assert [*tokens, address.token] == [None, "s3cret"]
    assert "s3cret" not in repr(address) + str(address) + address.title
