"""Specification, "Match Rules": which messages each key selects."""

from __future__ import annotations

from typing import Any

import pytest

from support.message import BIG, LITTLE, Type
from support.raw import BUS, BUS_PATH, Client
from support.wire import Variant

from .conftest import Connect

# (rule, body signature, body, whether it matches): arguments.
ARGUMENTS: list[tuple[str, str, tuple[Any, ...], bool]] = [
    ("arg0='a'", "s", ("a",), True),
    ("arg0='a'", "s", ("b",), False),
    ("arg0='a'", "s", ("ab",), False),
    ("arg0='a'", "s", ("",), False),
    ("arg0='a'", "", (), False),
    ("arg0=''", "s", ("",), True),
    ("arg0=''", "", (), False),
    ("arg0='a'", "ss", ("a", "b"), True),
    ("arg1='b'", "ss", ("a", "b"), True),
    ("arg1='b'", "s", ("b",), False),
    ("arg0='a',arg1='b'", "ss", ("a", "b"), True),
    ("arg0='a',arg1='b'", "ss", ("a", "c"), False),
    ("arg1='b'", "us", (1, "b"), True),
    ("arg1='b'", "a{sv}s", ({"x": Variant("s", "y")}, "b"), True),
    ("arg2='c'", "(ss)vs", (("a", "b"), Variant("as", ["x"]), "c"), True),
    ("arg1='b'", "ays", (b"xyz", "b"), True),
    ("arg1='b'", "axs", ([], "b"), True),
    ("arg0='5'", "u", (5,), False),
    ("arg0='/a'", "o", ("/a",), False),
    ("arg0='a'", "g", ("a{sv}",), False),
    ("arg0='a'", "as", (["a"],), False),
    ("arg0='a'", "v", (Variant("s", "a"),), False),
    ("arg63='z'", "s" * 64, ("x",) * 63 + ("z",), True),
    ("arg63='z'", "s" * 64, ("z",) * 63 + ("x",), False),
    ("arg63='z'", "y" * 63 + "s", (1,) * 63 + ("z",), True),
    ("arg0='ü,= '", "s", ("ü,= ",), True),
    (r"arg0='it'\''s'", "s", ("it's",), True),
    (r"arg0=\\", "s", ("\\\\",), True),
    (r"arg0='\'", "s", ("\\",), True),
    ("arg0= x ", "s", (" x ",), True),
]
# argNpath: equal, or one is a prefix of the other that ends in a slash.
ARGUMENT_PATHS: list[tuple[str, str, tuple[Any, ...], bool]] = [
    ("arg0path='/aa/bb/'", "s", ("/",), True),
    ("arg0path='/aa/bb/'", "s", ("/aa/",), True),
    ("arg0path='/aa/bb/'", "s", ("/aa/bb/",), True),
    ("arg0path='/aa/bb/'", "s", ("/aa/bb/cc/",), True),
    ("arg0path='/aa/bb/'", "s", ("/aa/bb/cc",), True),
    ("arg0path='/aa/bb/'", "s", ("/aa/b",), False),
    ("arg0path='/aa/bb/'", "s", ("/aa",), False),
    ("arg0path='/aa/bb/'", "s", ("/aa/bb",), False),
    ("arg0path='/aa/bb'", "s", ("/aa/bb",), True),
    ("arg0path='/aa/bb'", "s", ("/aa/bb/",), False),
    ("arg0path='/aa/bb'", "s", ("/aa/",), True),
    ("arg0path='/aa/bb'", "o", ("/aa/bb",), True),
    ("arg0path='/aa/'", "o", ("/aa/bb",), True),
    ("arg0path='/'", "o", ("/aa/bb",), True),
    ("arg0path='/aa/bb'", "o", ("/",), True),
    ("arg0path='relative/'", "s", ("relative/x",), True),
    ("arg0path=''", "s", ("",), True),
    ("arg0path='/a'", "u", (5,), False),
    ("arg0path='/a'", "", (), False),
    ("arg1path='/a/'", "ss", ("/x", "/a/b"), True),
    ("arg63path='/a/'", "y" * 63 + "o", (1,) * 63 + ("/a/b",), True),
]
# arg0namespace: the name itself, or one that begins with it and a full stop.
ARGUMENT_NAMESPACES: list[tuple[str, str, tuple[Any, ...], bool]] = [
    ("arg0namespace='com.example.backend1'", "s", ("com.example.backend1",), True),
    ("arg0namespace='com.example.backend1'", "s", ("com.example.backend1.foo",), True),
    ("arg0namespace='com.example.backend1'", "s", ("com.example.backend1.foo.bar",), True),
    ("arg0namespace='com.example.backend1'", "s", ("com.example.backend12",), False),
    ("arg0namespace='com.example.backend1'", "s", ("com.example",), False),
    ("arg0namespace='com.example.backend1'", "s", ("com.example.backend1.",), True),
    ("arg0namespace='com'", "s", ("com.example",), True),
    ("arg0namespace='com'", "s", ("com",), True),
    ("arg0namespace='com'", "s", ("",), False),
    ("arg0namespace='com'", "", (), False),
    ("arg0namespace='com'", "o", ("/com",), False),
    ("arg0namespace='com'", "u", (1,), False),
]
# (rule, path of the signal, whether it matches)
PATHS = [
    ("path='/a/b'", "/a/b", True),
    ("path='/a/b'", "/a", False),
    ("path='/a/b'", "/a/b/c", False),
    ("path='/'", "/", True),
    ("path='/'", "/a", False),
    ("path_namespace='/com/example/foo'", "/com/example/foo", True),
    ("path_namespace='/com/example/foo'", "/com/example/foo/bar", True),
    ("path_namespace='/com/example/foo'", "/com/example/foobar", False),
    ("path_namespace='/com/example/foo'", "/com/example", False),
    ("path_namespace='/'", "/", True),
    ("path_namespace='/'", "/a/b", True),
]


@pytest.fixture
def sender(connect: Connect) -> Client:
    return connect()


def matches(sender: Client, listener: Client, rule: str, **signal: Any) -> bool:
    """Return whether a listener with only this rule receives the sender's signal."""
    body = signal.pop("body", ())
    signature = signal.pop("signature", "")
    listener.match(rule)
    serial = sender.signal(signal.pop("member", "News"), signature, *body, **signal)
    sender.sync()
    listener.sync()
    found, listener.inbox[:] = list(listener.inbox), []
    listener.driver("RemoveMatch", "s", rule)
    assert len(found) <= 1
    assert all((one.serial, one.sender) == (serial, sender.unique) for one in found)
    return bool(found)


class TestType:
    """type='signal', 'method_call', 'method_return', 'error'"""

    @pytest.mark.parametrize("type", ["method_call", "method_return", "error"])
    def test_of_a_broadcast(self, sender: Client, other: Client, type: str) -> None:
        assert not matches(sender, other, f"type='{type}'")

    def test_signal(self, sender: Client, other: Client) -> None:
        assert matches(sender, other, "type='signal'")

    def test_any(self, sender: Client, other: Client) -> None:
        """An omitted key matches everything; the empty rule matches all messages."""
        assert matches(sender, other, "")


class TestManyNames:
    """A connection with more names than are listed with each message is matched by each of them."""

    def test_sender(self, sender: Client, other: Client, name: str) -> None:
        for number in range(100):
            assert sender.own(f"{name}.N{number}") == 1
        assert matches(sender, other, f"sender='{sender.unique}'")
        assert matches(sender, other, f"sender='{name}.N0'")
        assert matches(sender, other, f"sender='{name}.N99'")
        assert not matches(sender, other, f"sender='{name}.N100'")
        assert not matches(other, sender, f"sender='{name}.N99'")

    def test_recipient(self, connect: Connect, sender: Client, other: Client, name: str) -> None:
        """An eavesdropper may name any one of a recipient's many names."""
        for number in range(100):
            other.own(f"{name}.N{number}")
        listener = connect()
        listener.match(f"eavesdrop='true',destination='{name}.N77'")
        sender.signal("First", destination=f"{name}.N1")
        listener.expect(member="First")
        sender.driver("ReleaseName", "s", f"{name}.N77")
        other.driver("ReleaseName", "s", f"{name}.N77")
        sender.signal("Second", destination=f"{name}.N1")
        listener.expect_nothing(sender)


class TestSender:
    """sender='bus or unique name'"""

    def test_unique(self, sender: Client, other: Client) -> None:
        assert matches(sender, other, f"sender='{sender.unique}'")
        assert not matches(sender, other, f"sender='{other.unique}'")

    def test_well_known(self, sender: Client, other: Client, name: str) -> None:
        """A well-known name stands for its primary owner."""
        assert not matches(sender, other, f"sender='{name}'")
        sender.own(name)
        assert matches(sender, other, f"sender='{name}'")

    def test_owner_changes(self, sender: Client, other: Client, connect: Connect, name: str) -> None:
        """The owner is that at the time the signal is sent."""
        listener = connect()
        listener.match(f"sender='{name}',interface='org.example.Interface'")
        sender.own(name)
        other.own(name)
        sender.signal("News", "u", 1)
        other.signal("News", "u", 2)
        other.sync()
        sender.driver("ReleaseName", "s", name)
        sender.signal("News", "u", 3)
        other.sync()
        other.signal("News", "u", 4)
        listener.expect(body=(1,), sender=sender.unique)
        listener.expect(body=(4,), sender=other.unique)
        other.driver("ReleaseName", "s", name)
        other.signal("News", "u", 5)
        listener.expect_nothing(sender, other)

    def test_queued(self, sender: Client, other: Client, connect: Connect, name: str) -> None:
        """Only the primary owner matches as sender."""
        other.own(name)
        sender.own(name)
        assert not matches(sender, connect(), f"sender='{name}'")

    def test_several_names(self, sender: Client, other: Client, name: str, name2: str) -> None:
        """One sender may have several names."""
        sender.own(name)
        sender.own(name2)
        for one in (name, name2, sender.unique):
            assert matches(sender, other, f"sender='{one}'")

    def test_bus(self, client: Client, other: Client, name: str) -> None:
        other.match(f"sender='{BUS}',arg0='{name}'")
        client.own(name)
        other.expect(member="NameOwnerChanged", body=(name, "", client.unique))
        client.signal("News", "s", name)
        other.expect_nothing(client)

    def test_forged(self, sender: Client, other: Client) -> None:
        """The rule is compared with the true SENDER."""
        other.match(f"sender='{BUS}',member='News'")
        sender.signal("News", sender=BUS)
        other.expect_nothing(sender)
        other.match(f"sender='{sender.unique}'")
        sender.signal("News", sender=BUS)
        other.expect(member="News", sender=sender.unique)


class TestInterfaceAndMember:
    def test_interface(self, sender: Client, other: Client) -> None:
        """interface: equal to the INTERFACE field."""
        assert matches(sender, other, "interface='org.example.Interface'")
        for another in (
            "org.example",
            "org.example.Interface2",
            "org.example.Interface.Sub",
            "Org.Example.Interface",
        ):
            assert not matches(sender, other, f"interface='{another}'")

    def test_member(self, sender: Client, other: Client) -> None:
        """member: equal to the MEMBER field."""
        assert matches(sender, other, "member='News'")
        for another in ("New", "News2", "news"):
            assert not matches(sender, other, f"member='{another}'")

    def test_all_must_match(self, sender: Client, other: Client) -> None:
        """All keys must match."""
        rule = "type='signal',interface='org.example.Interface',member='{}',path='{}'"
        assert matches(sender, other, rule.format("News", "/org/example/Object"))
        assert not matches(sender, other, rule.format("Else", "/org/example/Object"))
        assert not matches(sender, other, rule.format("News", "/org/example/Else"))


class TestPath:
    @pytest.mark.parametrize(("rule", "path", "expected"), PATHS)
    def test_path(self, sender: Client, other: Client, rule: str, path: str, expected: bool) -> None:
        """path: that object; path_namespace: that object and those below it."""
        assert matches(sender, other, rule, path=path) is expected


@pytest.mark.parametrize("order", [LITTLE, BIG])
class TestArguments:
    @pytest.fixture
    def sender(self, connect: Connect, order: str) -> Client:
        return connect(order=order)

    @pytest.mark.parametrize(("rule", "signature", "body", "expected"), ARGUMENTS)
    def test_string(
        self, sender: Client, other: Client, rule: str, signature: str, body: tuple[Any, ...], expected: bool
    ) -> None:
        """argN: only arguments of type STRING, compared as a whole; N is 0 to 63."""
        assert matches(sender, other, rule, signature=signature, body=body) is expected

    @pytest.mark.parametrize(("rule", "signature", "body", "expected"), ARGUMENT_PATHS)
    def test_path(
        self, sender: Client, other: Client, rule: str, signature: str, body: tuple[Any, ...], expected: bool
    ) -> None:
        """argNpath: STRING or OBJECT_PATH; equal, or one is a prefix of the other and ends in '/'."""
        assert matches(sender, other, rule, signature=signature, body=body) is expected

    @pytest.mark.parametrize(("rule", "signature", "body", "expected"), ARGUMENT_NAMESPACES)
    def test_namespace(
        self, sender: Client, other: Client, rule: str, signature: str, body: tuple[Any, ...], expected: bool
    ) -> None:
        """arg0namespace: a STRING that is this name or one in its namespace."""
        assert matches(sender, other, rule, signature=signature, body=body) is expected


class TestNameOwnerChanged:
    def test_namespace_of_names(self, client: Client, other: Client, name: str) -> None:
        """arg0namespace was made for this: the names of a family."""
        other.match(f"member='NameOwnerChanged',arg0namespace='{name}'")
        client.own(f"{name}.sub")
        client.own(f"{name}2")
        other.expect(member="NameOwnerChanged", body=(f"{name}.sub", "", client.unique))
        other.expect_nothing(client)

    def test_new_owner_only(self, client: Client, other: Client, name: str) -> None:
        """arg2='': only when a name loses its owner."""
        other.match(f"member='NameOwnerChanged',arg0='{name}',arg2=''")
        client.own(name)
        client.driver("ReleaseName", "s", name)
        other.expect(body=(name, client.unique, ""))


class TestDestination:
    """destination: messages to a name. Without eavesdropping messages to other clients don't match."""

    def test_broadcast_has_none(self, sender: Client, other: Client) -> None:
        assert not matches(sender, other, f"destination='{other.unique}'")

    def test_of_another(self, sender: Client, other: Client, connect: Connect) -> None:
        third = connect()
        third.match(f"destination='{other.unique}'")
        sender.signal("News", destination=other.unique)
        sender.start_call(other.unique, "Hail")
        third.expect_nothing(sender)

    def test_of_oneself(self, sender: Client, other: Client) -> None:
        """Messages to the client itself arrive once, with or without the rule."""
        other.match(f"destination='{other.unique}'")
        sender.signal("News", destination=other.unique)
        other.expect(member="News")
        other.expect_nothing(sender)


class TestManyRules:
    def test_only_matching_rules(self, client: Client, other: Client) -> None:
        """Of many rules exactly the matching ones are found."""
        rules = [
            f"type='signal',interface='org.example.I{number % 50}',member='M{number}'"
            for number in range(500)
        ]
        for rule in rules:
            other.match(rule)
        for number in (0, 49, 250, 499):
            client.signal(f"M{number}", interface=f"org.example.I{number % 50}")
            client.signal(f"M{number}", interface=f"org.example.I{(number + 1) % 50}")
            other.expect(member=f"M{number}", interface=f"org.example.I{number % 50}")
        other.expect_nothing(client)
        for rule in rules[::2]:
            other.driver("RemoveMatch", "s", rule)
        client.signal("M250", interface="org.example.I0")
        client.signal("M499", interface="org.example.I49")
        other.expect(member="M499")

    def test_of_many_connections(self, client: Client, connect: Connect) -> None:
        listeners = [connect() for _ in range(40)]
        for number, listener in enumerate(listeners):
            listener.match(f"arg0='{number}'")
            listener.match(f"sender='{client.unique}',arg0path='/group{number % 4}/'")
        for number in range(40):
            client.signal("News", "s", str(number))
        client.signal("News", "s", "/group1/x")
        for number, listener in enumerate(listeners):
            listener.expect(body=(str(number),))
            if number % 4 == 1:
                listener.expect(body=("/group1/x",))
            listener.expect_nothing()

    def test_removed_with_the_connection(self, client: Client, connect: Connect) -> None:
        """Rules are removed with their connection, and with the connection that they name."""
        for _ in range(20):
            listener = connect()
            listener.match(f"sender='{client.unique}'")
            listener.match("type='signal'")
            listener.close()
        watcher, gone = connect(), connect()
        watcher.match(f"sender='{gone.unique}'")
        gone.close()
        client.signal("News")
        watcher.expect_nothing(client)
        assert watcher.driver("RemoveMatch", "s", f"sender='{gone.unique}'") is None


class TestAtOnce:
    def test_pipelined(self, client: Client, other: Client) -> None:
        """A rule applies to all later messages; the client need not wait for the reply."""
        for number in range(20):
            rule = f"type='signal',member='News{number}'"
            client.start_call(BUS, "AddMatch", "s", rule, interface=BUS, path=BUS_PATH)
            client.signal(f"News{number}")
            client.start_call(BUS, "RemoveMatch", "s", rule, interface=BUS, path=BUS_PATH)
            client.signal(f"News{number}")
        client.sync()
        assert [one.member for one in client.inbox if one.type == Type.SIGNAL] == [
            f"News{n}" for n in range(20)
        ]
