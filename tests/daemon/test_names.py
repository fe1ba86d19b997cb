"""Specification, "Message Bus Names": RequestName, ReleaseName and the queue between them."""

import pytest

from omnibus.daemon.names import NameFlag, NameRegistry, ReleaseReply, RequestReply

ALLOW, REPLACE, NO_QUEUE = NameFlag.ALLOW_REPLACEMENT, NameFlag.REPLACE_EXISTING, NameFlag.DO_NOT_QUEUE
NONE = NameFlag(0)
NAME = "org.example.Name"
FIRST, SECOND, THIRD, FOURTH = 1, 2, 3, 4

PRIMARY, QUEUED = RequestReply.PRIMARY_OWNER, RequestReply.IN_QUEUE
EXISTS, ALREADY = RequestReply.EXISTS, RequestReply.ALREADY_OWNER


def every(*flags: NameFlag) -> list[NameFlag]:
    """All combinations of flags that include these."""
    required = NameFlag(sum(flags))
    return [NameFlag(value) for value in range(8) if value & required == required]


@pytest.fixture
def names() -> NameRegistry:
    return NameRegistry()


class TestFreeName:
    @pytest.mark.parametrize("flags", every())
    def test_request(self, names: NameRegistry, flags: NameFlag) -> None:
        """The caller is now the primary owner of the name; there was none before."""
        assert names.request(NAME, FIRST, flags) == (PRIMARY, (FIRST,))
        assert names.owner(NAME) == FIRST

    def test_release(self, names: NameRegistry) -> None:
        """The given name does not exist on this bus."""
        assert names.release(NAME, FIRST) == (ReleaseReply.NON_EXISTENT, ())

    def test_unknown_flags_are_ignored(self, names: NameRegistry) -> None:
        assert names.request(NAME, FIRST, 0xFFFFFFF8) == (PRIMARY, (FIRST,))
        assert names.request(NAME, SECOND, 8 | REPLACE)[0] == QUEUED


class TestOwnName:
    @pytest.mark.parametrize("before", every())
    @pytest.mark.parametrize("after", every())
    def test_request_again(self, names: NameRegistry, before: NameFlag, after: NameFlag) -> None:
        """The application trying to request ownership of a name is already the owner of it."""
        names.request(NAME, FIRST, before)
        assert names.request(NAME, FIRST, after) == (ALREADY, (FIRST,))

    @pytest.mark.parametrize(("flags", "reply"), [(ALLOW, PRIMARY), (NONE, QUEUED)])
    def test_new_flags_count(self, names: NameRegistry, flags: NameFlag, reply: RequestReply) -> None:
        """... and the flags specified replace the ones of before."""
        names.request(NAME, FIRST, ALLOW ^ flags)
        names.request(NAME, FIRST, flags)
        assert names.request(NAME, SECOND, REPLACE)[0] == reply


# A request for a name that FIRST owns: (flags of owner and claimant) → reply and queue.
CONTENTION = [
    (
        owner,
        asker,
        QUEUED if not asker & NO_QUEUE else EXISTS,
        (FIRST, SECOND) if not asker & NO_QUEUE else (FIRST,),
    )
    for owner in every()
    for asker in every()
    if not (owner & ALLOW and asker & REPLACE)
] + [
    (owner, asker, PRIMARY, (SECOND,) if owner & NO_QUEUE else (SECOND, FIRST))
    for owner in every(ALLOW)
    for asker in every(REPLACE)
]


class TestContention:
    def test_every_combination_is_here(self) -> None:
        assert len(CONTENTION) == 64

    @pytest.mark.parametrize(("owner", "asker", "reply", "queue"), CONTENTION)
    def test_request(
        self,
        names: NameRegistry,
        owner: NameFlag,
        asker: NameFlag,
        reply: RequestReply,
        queue: tuple[int, ...],
    ) -> None:
        """Both have to agree on a replacement; with DO_NOT_QUEUE a client is not queued."""
        names.request(NAME, FIRST, owner)
        assert names.request(NAME, SECOND, asker) == (reply, queue)
        assert names.queue(NAME) == queue

    def test_replaced_owner_stands_next(self, names: NameRegistry) -> None:
        names.request(NAME, FIRST, ALLOW)
        names.request(NAME, SECOND, NONE)
        names.request(NAME, THIRD, NONE)
        assert names.request(NAME, FOURTH, REPLACE) == (PRIMARY, (FOURTH, FIRST, SECOND, THIRD))

    def test_replaced_owner_with_do_not_queue_leaves(self, names: NameRegistry) -> None:
        names.request(NAME, FIRST, ALLOW | NO_QUEUE)
        names.request(NAME, SECOND, NONE)
        assert names.request(NAME, THIRD, REPLACE) == (PRIMARY, (THIRD, SECOND))


class TestQueue:
    @pytest.fixture(autouse=True)
    def three(self, names: NameRegistry) -> None:
        for peer in (FIRST, SECOND, THIRD):
            names.request(NAME, peer, NONE)

    def test_order_of_requests(self, names: NameRegistry) -> None:
        assert names.queue(NAME) == (FIRST, SECOND, THIRD)

    def test_asking_again_keeps_the_place(self, names: NameRegistry) -> None:
        assert names.request(NAME, SECOND, ALLOW) == (QUEUED, (FIRST, SECOND, THIRD))

    def test_replace_existing_is_queued_first(self, names: NameRegistry) -> None:
        """A claimant with REPLACE_EXISTING that may not replace the owner is queued first."""
        assert names.request(NAME, THIRD, REPLACE) == (QUEUED, (FIRST, THIRD, SECOND))
        assert names.request(NAME, FOURTH, REPLACE) == (QUEUED, (FIRST, FOURTH, THIRD, SECOND))

    def test_replacement_from_the_queue(self, names: NameRegistry) -> None:
        names.request(NAME, FIRST, ALLOW)
        assert names.request(NAME, THIRD, REPLACE) == (PRIMARY, (THIRD, FIRST, SECOND))

    def test_do_not_queue_leaves_the_queue(self, names: NameRegistry) -> None:
        assert names.request(NAME, SECOND, NO_QUEUE) == (EXISTS, (FIRST, THIRD))

    def test_owner_releases(self, names: NameRegistry) -> None:
        """The next in the queue becomes the owner."""
        assert names.release(NAME, FIRST) == (ReleaseReply.RELEASED, (SECOND, THIRD))

    def test_queued_client_releases(self, names: NameRegistry) -> None:
        assert names.release(NAME, SECOND) == (ReleaseReply.RELEASED, (FIRST, THIRD))

    def test_another_client_releases(self, names: NameRegistry) -> None:
        """The caller was not the primary owner of this name, and was not waiting for it."""
        assert names.release(NAME, FOURTH) == (ReleaseReply.NOT_OWNER, (FIRST, SECOND, THIRD))

    def test_all_release(self, names: NameRegistry) -> None:
        for peer in (FIRST, SECOND, THIRD):
            names.release(NAME, peer)
        assert names.owner(NAME) is None
        assert list(names) == []
        assert len(names) == 0

    def test_flags_of_a_queued_client_apply_when_it_owns(self, names: NameRegistry) -> None:
        names.request(NAME, SECOND, ALLOW)
        names.release(NAME, FIRST)
        assert names.request(NAME, FOURTH, REPLACE) == (PRIMARY, (FOURTH, SECOND, THIRD))


class TestDisconnect:
    def test_latest_first(self, names: NameRegistry) -> None:
        """The reference releases names in the reverse order of the requests."""
        for name in ("org.example.A", "org.example.B", "org.example.C"):
            names.request(name, FIRST, NONE)
        names.request("org.example.B", SECOND, NONE)
        assert names.disconnect(FIRST) == ["org.example.C", "org.example.B", "org.example.A"]
        assert names.queue("org.example.B") == (SECOND,)
        assert list(names) == ["org.example.B"]

    def test_from_the_queue(self, names: NameRegistry) -> None:
        names.request(NAME, FIRST, NONE)
        names.request(NAME, SECOND, NONE)
        assert names.disconnect(SECOND) == [NAME]
        assert names.queue(NAME) == (FIRST,)

    def test_asked_for_again_after_release(self, names: NameRegistry) -> None:
        for name in ("org.example.A", "org.example.B"):
            names.request(name, FIRST, NONE)
        names.release("org.example.A", FIRST)
        names.request("org.example.A", FIRST, NONE)
        assert names.disconnect(FIRST) == ["org.example.A", "org.example.B"]

    def test_nothing_owned(self, names: NameRegistry) -> None:
        assert names.disconnect(FIRST) == []
