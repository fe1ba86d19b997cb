"""The error names of the bus, and the exception that carries one."""

from typing import Final

ACCESS_DENIED: Final = "org.freedesktop.DBus.Error.AccessDenied"
ADT_AUDIT_DATA_UNKNOWN: Final = "org.freedesktop.DBus.Error.AdtAuditDataUnknown"
FAILED: Final = "org.freedesktop.DBus.Error.Failed"
FILE_NOT_FOUND: Final = "org.freedesktop.DBus.Error.FileNotFound"
INVALID_ARGS: Final = "org.freedesktop.DBus.Error.InvalidArgs"
INVALID_FILE_CONTENT: Final = "org.freedesktop.DBus.Error.InvalidFileContent"
LIMITS_EXCEEDED: Final = "org.freedesktop.DBus.Error.LimitsExceeded"
MATCH_RULE_INVALID: Final = "org.freedesktop.DBus.Error.MatchRuleInvalid"
NAME_HAS_NO_OWNER: Final = "org.freedesktop.DBus.Error.NameHasNoOwner"
NOT_CONTAINER: Final = "org.freedesktop.DBus.Error.NotContainer"
NO_MEMORY: Final = "org.freedesktop.DBus.Error.NoMemory"
PROPERTY_READ_ONLY: Final = "org.freedesktop.DBus.Error.PropertyReadOnly"
SELINUX_SECURITY_CONTEXT_UNKNOWN: Final = "org.freedesktop.DBus.Error.SELinuxSecurityContextUnknown"
SERVICE_UNKNOWN: Final = "org.freedesktop.DBus.Error.ServiceUnknown"
SPAWN_CHILD_EXITED: Final = "org.freedesktop.DBus.Error.Spawn.ChildExited"
SPAWN_CHILD_SIGNALED: Final = "org.freedesktop.DBus.Error.Spawn.ChildSignaled"
SPAWN_CONFIG_INVALID: Final = "org.freedesktop.DBus.Error.Spawn.ConfigInvalid"
SPAWN_EXEC_FAILED: Final = "org.freedesktop.DBus.Error.Spawn.ExecFailed"
SPAWN_FAILED: Final = "org.freedesktop.DBus.Error.Spawn.Failed"
SPAWN_FILE_INVALID: Final = "org.freedesktop.DBus.Error.Spawn.FileInvalid"
SPAWN_FORK_FAILED: Final = "org.freedesktop.DBus.Error.Spawn.ForkFailed"
SPAWN_PERMISSIONS_INVALID: Final = "org.freedesktop.DBus.Error.Spawn.PermissionsInvalid"
SPAWN_SERVICE_NOT_FOUND: Final = "org.freedesktop.DBus.Error.Spawn.ServiceNotFound"
SPAWN_SERVICE_NOT_VALID: Final = "org.freedesktop.DBus.Error.Spawn.ServiceNotValid"
SPAWN_SETUP_FAILED: Final = "org.freedesktop.DBus.Error.Spawn.FailedToSetup"
TIMED_OUT: Final = "org.freedesktop.DBus.Error.TimedOut"
UNIX_PROCESS_ID_UNKNOWN: Final = "org.freedesktop.DBus.Error.UnixProcessIdUnknown"
UNKNOWN_INTERFACE: Final = "org.freedesktop.DBus.Error.UnknownInterface"
UNKNOWN_METHOD: Final = "org.freedesktop.DBus.Error.UnknownMethod"
UNKNOWN_PROPERTY: Final = "org.freedesktop.DBus.Error.UnknownProperty"


class DBusError(Exception):
    """The failure of a method call: name and text of the error reply."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(name, text)
        self.name = name
        self.text = text

    def __str__(self) -> str:
        return f"{self.name}: {self.text}"
