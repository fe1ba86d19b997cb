"""The control plane's section of the state: written, read, and refused with the name of the field."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omnibus.daemon.codec import Variant, make_body
from omnibus.daemon.upgrade.control import Control, Descriptor, MetadataState, WaitingCall
from omnibus.daemon.upgrade.plain import read, write
from omnibus.daemon.upgrade.tables import metadata_of
from omnibus.policy.settings import Settings
from omnibus.record import Record
from omnibus.transport.relay.state import StateError

from .strategies import controls, records

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


QUICK = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


class Sample(Record):
    number: int
    share: float = 0.5
    name: str | None = None
    pairs: tuple[tuple[str, int], ...] = ()
    data: bytes = b""
    on: bool = False


def sample(**fields: Any) -> bytes:
    return json.dumps({"number": 1} | fields).encode()


class TestPlain:
    """Every field is checked against its type, and an error names it."""

    @given(records(Sample))
    def test_round_trip(self, record: Sample) -> None:
        assert read(Sample, write(record), "sample") == record

    def test_a_missing_field_has_its_default(self) -> None:
        assert read(Sample, b'{"number": 7}', "sample") == Sample(7)

    @pytest.mark.parametrize(
        "data, text",
        [
            (b"{}", "sample.number: missing"),
            (b"[]", "sample: [] is not an object"),
            (b"", "sample: not JSON"),
            (b"\xff", "sample: not JSON"),
            (b"[" * 100_000, "sample: not JSON"),
            (b'{"number": NaN}', "sample: not JSON"),
            (sample(number=True), "sample.number: True is not an integer of 64 bits"),
            (sample(number=2**64), "is not an integer"),
            (sample(number=1.5), "is not an integer"),
            (sample(share="1"), "is not a finite number"),
            (b'{"number": 1, "share": 1e400}', "is not a finite number"),
            (sample(name=1), "sample.name: 1 is not a string"),
            (sample(name="a\0"), "is not a string without NUL"),
            (sample(pairs=[["a", 1], ["b"]]), "sample.pairs[1]: ['b'] is not an array of 2"),
            (sample(pairs=[["a", "b"]]), "sample.pairs[0][1]: 'b' is not an integer"),
            (sample(pairs={}), "sample.pairs: {} is not an array"),
            (sample(data="?"), "sample.data: '?' is not base64"),
            (sample(on=1), "sample.on: 1 is not a boolean"),
            (sample(other=1), "sample.other: unknown"),
        ],
    )
    def test_refused(self, data: bytes, text: str) -> None:
        with pytest.raises(StateError) as caught:
            read(Sample, data, "sample")
        assert text in str(caught.value)

    @given(st.binary() | JSON.map(lambda plain: json.dumps(plain).encode()))
    def test_no_other_exception(self, data: bytes) -> None:
        with pytest.raises(StateError):
            Control.decode(data)

    @QUICK
    @given(controls(), JSON, st.data())
    def test_no_other_exception_for_one_wrong_field(
        self, control: Control, value: Any, data: st.DataObject
    ) -> None:
        plain = json.loads(control.encode())
        plain[data.draw(st.sampled_from(sorted(plain)))] = value
        try:
            found = Control.decode(json.dumps(plain).encode())
        except StateError as error:
            assert str(error).startswith("control")
        else:
            assert Control.decode(found.encode()) == found


class TestControl:
    """``dump(restore(dump(x))) == dump(x)``, and references lead somewhere."""

    @QUICK
    @given(controls())
    def test_round_trip(self, control: Control) -> None:
        written = control.encode()
        again = Control.decode(written)
        assert again == control
        assert again.encode() == written

    @QUICK
    @given(records(Settings))
    def test_settings(self, found: Settings) -> None:
        assert read(Settings, write(found), "settings") == found

    @pytest.mark.parametrize(
        "changes, text",
        [
            ({"children": (0,)}, "control.children: 0"),
            ({"children": (2**40,)}, "control.children"),
        ],
    )
    @QUICK
    @given(controls())
    def test_wrong_references(self, changes: dict[str, Any], text: str, control: Control) -> None:
        control = control.replace(starts=(), children=()).replace(**changes)
        with pytest.raises(StateError) as caught:
            Control.decode(control.encode())
        assert text in str(caught.value)

    @QUICK
    @given(controls().filter(lambda one: one.starts))
    def test_a_start_is_there_once(self, control: Control) -> None:
        with pytest.raises(StateError, match="the same name"):
            Control.decode(control.replace(starts=control.starts * 2).encode())

    def test_not_all_is_a_default(self) -> None:
        """What a program of another version leaves out is missed."""
        with pytest.raises(StateError, match=r"calls\[0\].serial: missing"):
            read(WaitingCall, b'{"peer": 1}', "calls[0]")


class TestDescriptors:
    """A number is believed only with the file that it had."""

    def test_same_file(self) -> None:
        with open(os.devnull, "rb") as file:
            Descriptor.of(file.fileno()).check("here")

    def test_another_file(self, tmp_path: Any) -> None:
        with open(os.devnull, "rb") as file, open(tmp_path / "other", "wb") as other:
            wrong = Descriptor.of(file.fileno()).replace(fd=other.fileno())
            with pytest.raises(StateError, match=r"here\.inode: descriptor"):
                wrong.check("here")

    @pytest.mark.parametrize("fd", [-1, 2**31, 2**40, 1_000_000])
    def test_none(self, fd: int) -> None:
        with pytest.raises(StateError, match=r"here\.fd"):
            Descriptor(fd, 1, 1).check("here")

    @QUICK
    @given(controls())
    def test_all_are_listed(self, control: Control) -> None:
        listed = [descriptor for _, descriptor in control.descriptors()]
        text = control.encode().decode()
        assert len(listed) == text.count('"inode":') - text.count('"with_directory":')


class TestMetadata:
    def test_by_connection(self) -> None:
        body = make_body("a{sv}", ({"a": Variant("u", 1)},))
        assert metadata_of([MetadataState(7, body), MetadataState(9, body)]) == {7: body, 9: body}

    @pytest.mark.parametrize("body", [b"", b"\xff\xff\xff\xff", b"\1\0\0\0\0\0\0\0a"])
    def test_broken(self, body: bytes) -> None:
        with pytest.raises(StateError, match=r"control\.metadata\[7\]: "):
            metadata_of([MetadataState(7, body)])
