"""dbus-daemon(1), "CONFIGURATION FILE": the meaning of each element."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from omnibus.policy import selinux, service_dirs, xml
from omnibus.policy.load import load
from omnibus.policy.settings import Limits, ServiceDir

from .conftest import Read, Write


class TestScalars:
    def test_nothing_given(self, read: Read) -> None:
        settings = read()
        assert settings.listen == ("unix:path=/run/test/bus",)
        assert (settings.bus_type, settings.user, settings.pidfile, settings.servicehelper) == (None,) * 4
        assert not (settings.fork or settings.keep_umask or settings.syslog or settings.allow_anonymous)
        assert (settings.auth, settings.service_dirs, settings.watched_dirs) == ((), (), ())
        assert (settings.limits, settings.apparmor, settings.selinux) == (Limits(), "enabled", ())

    @pytest.mark.parametrize(
        ("element", "field"), [("type", "bus_type"), ("user", "user"), ("pidfile", "pidfile")]
    )
    def test_text(self, read: Read, element: str, field: str) -> None:
        assert getattr(read(f"<{element}>a b</{element}>"), field) == "a b"

    def test_the_last_of_several_counts(self, read: Read) -> None:
        assert read("<type>session</type>", "<type>system</type>").bus_type == "system"

    def test_text_is_taken_as_it_stands(self, read: Read) -> None:
        """White space is kept, comments are removed, CDATA and character references are text."""
        assert read("<user> a<!-- no -->b<![CDATA[<c>]]>&#100;&amp; </user>").user == " ab<c>d& "

    @pytest.mark.parametrize("element", ["fork", "keep_umask", "syslog", "allow_anonymous"])
    def test_flag(self, read: Read, element: str) -> None:
        """If present, ..."""
        assert getattr(read(f"<{element}/>"), element) is True
        assert getattr(read(f"<{element}> </{element}>"), element) is True

    def test_listen(self, read: Read) -> None:
        """If there are multiple <listen> elements, then the bus listens on multiple addresses."""
        assert read("<listen>tcp:port=1</listen>").listen == ("unix:path=/run/test/bus", "tcp:port=1")

    def test_auth(self, read: Read) -> None:
        """Multiple <auth> elements are allowed, and their mechanisms kept in order."""
        assert read("<auth>EXTERNAL</auth>", "<auth>ANONYMOUS</auth>").auth == ("EXTERNAL", "ANONYMOUS")

    def test_servicehelper_is_beside_the_file(self, read: Read, tmp_path: Path) -> None:
        assert read("<servicehelper>helper</servicehelper>").servicehelper == f"{tmp_path}/helper"
        assert read("<servicehelper>/bin/helper</servicehelper>").servicehelper == "/bin/helper"

    @pytest.mark.parametrize("mode", ["required", "enabled", "disabled"])
    def test_apparmor(self, read: Read, mode: str) -> None:
        assert read(f'<apparmor mode="{mode}"/>').apparmor == mode

    def test_apparmor_without_mode(self, read: Read) -> None:
        assert read('<apparmor mode="required"/>', "<apparmor/>").apparmor == "required"

    def test_selinux(self, read: Read) -> None:
        """The last <associate> of a name counts."""
        settings = read(
            '<selinux><associate own="a.b" context="one"/><associate own="c.d" context="two"/></selinux>',
            '<selinux> <associate own="a.b" context="three"/> </selinux>',
        )
        assert settings.selinux == (("a.b", "three"), ("c.d", "two"))

    def test_document_type(self, tmp_path: Path) -> None:
        """The usual document type is ignored."""
        path = tmp_path / "bus.conf"
        path.write_text(
            '<?xml version="1.0" encoding="ISO-8859-1"?>\n<!DOCTYPE busconfig PUBLIC "-//x" "http://x/y.dtd">\n'
            "<busconfig><listen>unix:path=/ä</listen></busconfig>",
            encoding="utf-8",
        )
        assert load(str(path)).listen == ("unix:path=/ä",)


class TestLimits:
    """<limit> establishes a resource limit."""

    @pytest.mark.parametrize("name", vars(Limits()))
    def test_each_limit(self, read: Read, name: str) -> None:
        assert vars(read(f'<limit name="{name}">77</limit>').limits) == vars(Limits()) | {name: 77}

    def test_there_are_21(self) -> None:
        assert len(vars(Limits())) == 21

    @pytest.mark.parametrize(
        ("text", "value"),
        [("0", 0), (" 12", 12), ("0x10", 16), ("010", 8), ("12 000", 12), ("+5k", 5), ("0x", 0), ("08", 0)],
    )
    def test_numbers_are_read_as_c_reads_them(self, read: Read, text: str, value: int) -> None:
        assert read(f'<limit name="auth_timeout">{text}</limit>').limits.auth_timeout == value

    def test_largest(self, read: Read) -> None:
        settings = read(
            f'<limit name="max_incoming_bytes">{2**63 - 1}</limit>',
            f'<limit name="auth_timeout">{2**31 - 1}</limit>',
        )
        assert settings.limits.max_incoming_bytes == 2**63 - 1
        assert settings.limits.auth_timeout == 2**31 - 1


class TestServiceDirs:
    """<servicedir> adds a directory to search for .service files; they are searched in order."""

    def test_relative_to_the_file(self, read: Read, tmp_path: Path) -> None:
        settings = read("<servicedir>services</servicedir>", "<servicedir>/a/b/</servicedir>")
        assert settings.service_dirs == (ServiceDir(f"{tmp_path}/services"), ServiceDir("/a/b/"))
        assert settings.watched_dirs == (f"{tmp_path}/services", "/a/b/")

    def test_each_path_once(self, read: Read) -> None:
        settings = read(
            "<servicedir>/a</servicedir>", "<servicedir>/b</servicedir>", "<servicedir>/a</servicedir>"
        )
        assert [directory.path for directory in settings.service_dirs] == ["/a", "/b"]

    def test_session_dirs(self, read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
        """XDG_DATA_HOME, XDG_DATA_DIRS, and the directory of the installation."""
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
        monkeypatch.setenv("XDG_DATA_HOME", "/home/me/data")
        monkeypatch.setenv("XDG_DATA_DIRS", "/opt/share/::/usr/share ")
        settings = read("<standard_session_servicedirs/>")
        assert settings.service_dirs == tuple(
            ServiceDir(f"{base}/dbus-1/services") for base in ("/home/me/data", "/opt/share", "/usr/share")
        )

    def test_session_dirs_by_default(self, read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("XDG_RUNTIME_DIR", "XDG_DATA_HOME", "XDG_DATA_DIRS"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HOME", "/home/me")
        settings = read("<standard_session_servicedirs/>")
        assert [directory.path.removesuffix("/dbus-1/services") for directory in settings.service_dirs] == [
            "/home/me/.local/share",
            "/usr/local/share",
            "/usr/share",
        ]

    def test_transient_dir_comes_first(
        self, read: Read, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        runtime = tmp_path / "runtime"
        runtime.mkdir(mode=0o700)
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
        settings = read("<standard_session_servicedirs/>")
        transient = ServiceDir(f"{runtime}/dbus-1/services", watch=False, strict_naming=True, transient=True)
        assert settings.service_dirs[0] == transient
        assert transient.path not in settings.watched_dirs
        assert list(runtime.iterdir()) == [], "reading a configuration must not change anything"

    def test_laxer_setting_of_duplicates_wins(
        self, read: Read, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
        path = f"{tmp_path}/dbus-1/services"
        settings = read("<standard_session_servicedirs/>", f"<servicedir>{path}</servicedir>")
        assert settings.service_dirs[0] == ServiceDir(path, watch=True, strict_naming=False, transient=True)
        assert path in settings.watched_dirs

    @pytest.mark.parametrize("mode", [0o770, 0o707])
    def test_untrusted_runtime_dir_is_left_out(
        self, read: Read, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: int
    ) -> None:
        tmp_path.chmod(mode)
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
        settings = read("<standard_session_servicedirs/>")
        assert not any(directory.transient for directory in settings.service_dirs)
        (warning,) = settings.warnings
        assert "can be written by others" in warning.reason
        assert (warning.file, warning.line) == (f"{tmp_path}/bus.conf", 3)

    @pytest.mark.parametrize(
        ("name", "reason"), [("bus.conf", "is not a directory"), ("nothing", "not available: No such file")]
    )
    def test_unusable_runtime_dir_is_left_out(
        self, read: Read, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, reason: str
    ) -> None:
        monkeypatch.setenv("XDG_RUNTIME_DIR", f"{tmp_path}/{name}")
        (warning,) = read("<standard_session_servicedirs/>").warnings
        assert reason in warning.reason

    def test_system_dirs(self, read: Read) -> None:
        """The local directories are strict, and not watched, because they may not exist yet."""
        settings = read("<standard_system_servicedirs/>")
        assert [
            (one.path.removesuffix("/dbus-1/system-services"), one.watch) for one in settings.service_dirs
        ] == [
            ("/etc", False),
            ("/run", False),
            ("/usr/local/share", True),
            ("/usr/share", True),
            ("/lib", True),
        ]
        assert all(one.strict_naming != one.watch for one in settings.service_dirs)


class TestTransientDir:
    """$XDG_RUNTIME_DIR/dbus-1/services is made by the bus of the session."""

    def test_private_to_the_user(self, tmp_path: Path) -> None:
        directory = ServiceDir(f"{tmp_path}/dbus-1/services", transient=True)
        service_dirs.make_transient_dir(directory)
        service_dirs.make_transient_dir(directory)
        assert Path(directory.path).stat().st_mode & 0o777 == 0o700
        assert Path(directory.path).parent.stat().st_mode & 0o777 == 0o700

    def test_refused_where_others_may_write(self, tmp_path: Path) -> None:
        (tmp_path / "dbus-1").mkdir()
        (tmp_path / "dbus-1").chmod(0o777)
        with pytest.raises(OSError, match="can be written by others"):
            service_dirs.make_transient_dir(ServiceDir(f"{tmp_path}/dbus-1/services", transient=True))

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
    def test_refused_where_another_owns_it(self, tmp_path: Path) -> None:
        (tmp_path / "dbus-1").mkdir()
        os.chown(tmp_path / "dbus-1", 1, 1)
        with pytest.raises(OSError, match="is owned by uid 1, not our uid 0"):
            service_dirs.make_transient_dir(ServiceDir(f"{tmp_path}/dbus-1/services", transient=True))


class TestInclude:
    """<include> includes a file at this point; if it is relative, it is located beside the including file."""

    def test_beside_the_including_file(self, write: Write, read: Read) -> None:
        write("<user>inner</user>", name="sub/inner.conf", listen="<include>deeper.conf</include>")
        write("<type>deep</type>", name="sub/deeper.conf", listen="")
        settings = read("<include>sub/inner.conf</include>")
        assert (settings.user, settings.bus_type) == ("inner", "deep")
        assert [Path(file).name for file in settings.files] == ["bus.conf", "inner.conf", "deeper.conf"]

    def test_the_place_counts(self, write: Write, read: Read) -> None:
        """A later element wins, whether it is in the including or in the included file."""
        write("<user>inner</user>", "<pidfile>inner</pidfile>", name="i.conf")
        settings = read("<user>outer</user>", "<include>i.conf</include>", "<pidfile>outer</pidfile>")
        assert (settings.user, settings.pidfile) == ("inner", "outer")

    def test_lists_are_joined_at_the_place(self, write: Write, read: Read) -> None:
        write("<auth>B</auth>", "<servicedir>/b</servicedir>", name="i.conf", listen="<listen>b:</listen>")
        settings = read(
            "<auth>A</auth><servicedir>/a</servicedir>",
            "<include>i.conf</include>",
            "<auth>C</auth><listen>c:</listen><servicedir>/b</servicedir><servicedir>/c</servicedir>",
        )
        assert settings.auth == ("A", "B", "C")
        assert settings.listen == ("unix:path=/run/test/bus", "b:", "c:")
        assert [one.path for one in settings.service_dirs] == ["/a", "/b", "/c"]

    def test_listen_may_be_in_an_included_file(self, write: Write, read: Read) -> None:
        write(name="i.conf")
        assert read("<include>i.conf</include>", listen="").listen == ("unix:path=/run/test/bus",)

    def test_flags_stay_set(self, write: Write, read: Read) -> None:
        write("<fork/><keep_umask/><allow_anonymous/>", name="i.conf")
        settings = read("<include>i.conf</include>")
        assert settings.fork and settings.keep_umask and settings.allow_anonymous

    def test_syslog_counts_only_in_the_outermost_file(self, write: Write, read: Read) -> None:
        write("<syslog/>", name="i.conf")
        assert not read("<include>i.conf</include>").syslog

    def test_limits(self, write: Write, read: Read) -> None:
        write('<limit name="auth_timeout">2</limit><limit name="reply_timeout">3</limit>', name="i.conf")
        limits = read(
            '<limit name="auth_timeout">1</limit>',
            "<include>i.conf</include>",
            '<limit name="reply_timeout">4</limit>',
        ).limits
        assert (limits.auth_timeout, limits.reply_timeout) == (2, 4)

    def test_the_same_file_twice(self, write: Write, read: Read) -> None:
        """Only a file that includes itself is circular."""
        write("<auth>A</auth>", name="i.conf", listen="")
        assert read("<include>i.conf</include>", "<include>i.conf</include>").auth == ("A", "A")

    def test_ignore_missing(self, read: Read, tmp_path: Path) -> None:
        """If ignore_missing="yes" the file need not exist; its appearance is a change."""
        settings = read('<include ignore_missing="yes">nowhere/nothing.conf</include>')
        assert (settings.files[1:], settings.missing) == ((), (f"{tmp_path}/nowhere/nothing.conf",))

    def test_ignore_missing_forgives_what_is_missing_below(self, write: Write, read: Read) -> None:
        write("<user>inner</user>", "<include>nothing.conf</include>", name="i.conf")
        assert read('<include ignore_missing="yes">i.conf</include>').user is None

    def test_if_selinux_enabled(
        self, read: Read, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """If if_selinux_enabled="yes" the file is included only if SELinux is enabled."""
        write("<user>inner</user>", name="i.conf")
        for enabled, user in ((False, None), (True, "inner")):
            monkeypatch.setattr(selinux, "is_enabled", lambda enabled=enabled: enabled)
            assert read('<include if_selinux_enabled="yes">i.conf</include>').user == user
        assert read('<include if_selinux_enabled="no">i.conf</include>').user == "inner"

    def test_selinux_root_relative(
        self, read: Read, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """If selinux_root_relative="yes" the path is relative to the policy root of SELinux."""
        write("<user>inner</user>", name="root/contexts/i.conf")
        monkeypatch.setattr(selinux, "policy_root", lambda: f"{tmp_path}/root")
        assert read('<include selinux_root_relative="yes">contexts/i.conf</include>').user == "inner"

    def test_deep_nesting(self, read: Read, write: Write) -> None:
        for depth in range(60):
            write(f"<include>{depth + 1}.conf</include>", name=f"{depth}.conf")
        write("<user>last</user>", name="60.conf")
        assert read("<include>0.conf</include>").user == "last"


class TestIncludeDir:
    """<includedir> includes the files of a directory whose names end in ".conf"."""

    def test_sorted_and_conf_only(self, read: Read, write: Write) -> None:
        for name in ("b.conf", "a.conf", "c.conf~", ".d.conf"):
            write(f"<auth>{name}</auth>", name=f"conf.d/{name}")
        assert read("<includedir>conf.d</includedir>").auth == (".d.conf", "a.conf", "b.conf")

    def test_watched(self, read: Read, write: Write, tmp_path: Path) -> None:
        write(name="conf.d/a.conf")
        settings = read("<includedir>conf.d</includedir>", "<servicedir>/a</servicedir>")
        assert settings.watched_dirs == (f"{tmp_path}/conf.d", "/a")

    def test_missing_directory(self, read: Read, tmp_path: Path) -> None:
        settings = read("<includedir>nowhere</includedir>")
        assert (settings.watched_dirs, settings.warnings) == ((), ())
        assert settings.missing == (f"{tmp_path}/nowhere",)

    def test_invalid_files_are_skipped(self, read: Read, write: Write, tmp_path: Path) -> None:
        """An invalid file is skipped as a whole, and the bus starts with the others."""
        write("<user>bad</user>", '<limit name="auth_timeout">1</limit>', "<bogus/>", name="d/a.conf")
        write("<user>good</user>", name="d/b.conf")
        (tmp_path / "d/c.conf").symlink_to("nowhere")
        (tmp_path / "d/d.conf").mkdir()
        settings = read("<includedir>d</includedir>")
        assert (settings.user, settings.limits) == ("good", Limits())
        here, included = f"{tmp_path}/d", f"{tmp_path}/bus.conf:3"
        bogus = "Element <bogus> not allowed inside <busconfig> in configuration file"
        assert [str(warning) for warning in settings.warnings] == [
            f"{here}/a.conf:5: Encountered error '{bogus}' while parsing '{here}/a.conf'",
            f"{included}: Encountered error 'Failed to open \"{here}/c.conf\": No such file or directory'"
            f" while parsing '{here}/c.conf'",
            f"{included}: Encountered error '\"{here}/d.conf\" is not a regular file'"
            f" while parsing '{here}/d.conf'",
        ]

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_unreadable_file_is_skipped(self, read: Read, write: Write) -> None:
        write("<user>secret</user>", name="d/a.conf").chmod(0)
        settings = read("<includedir>d</includedir>")
        assert settings.user is None
        assert "Permission denied" in settings.warnings[0].reason

    def test_a_file_that_includes_its_directory(self, read: Read, write: Write) -> None:
        write("<user>a</user>", "<includedir>.</includedir>", name="d/a.conf")
        settings = read("<includedir>d</includedir>")
        assert settings.user == "a"
        assert "Circular inclusion of file" in settings.warnings[0].reason


class TestSelinux:
    """SELinux is detected as by libselinux."""

    def test_is_enabled(self, tmp_path: Path) -> None:
        config = tmp_path / "config"
        assert not selinux.is_enabled(str(tmp_path), str(config))
        (tmp_path / "enforce").touch()
        assert not selinux.is_enabled(str(tmp_path), str(config))
        config.touch()
        assert selinux.is_enabled(str(tmp_path), str(config))

    def test_policy_root(self, tmp_path: Path) -> None:
        config = tmp_path / "config"
        assert selinux.policy_root(str(config)) == "/etc/selinux/targeted"
        config.write_text("# comment\nSELINUX=enforcing\nSELINUXTYPE=mls\n")
        assert selinux.policy_root(str(config)) == "/etc/selinux/mls"


class TestPaths:
    @pytest.mark.parametrize(
        ("directory", "path", "joined"),
        [
            ("a", "b", "a/b"),
            ("a/", "b", "a/b"),
            ("a", "/b", "a/b"),
            ("a/", "/b", "a/b"),
            ("", "b", ""),
            ("a", "", "a"),
        ],
    )
    def test_join(self, directory: str, path: str, joined: str) -> None:
        assert service_dirs.join(directory, path) == joined

    def test_largest_file(self, write: Write, read: Read) -> None:
        path = write()
        filler = xml.MAX_FILE_SIZE - path.stat().st_size - len("<!---->\n")
        assert read(f"<!--{'x' * filler}-->").listen
