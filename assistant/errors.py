"""The errors a person may meet. Each is one sentence that says what was wrong and one that says what to do."""

from __future__ import annotations


class AssistantError(Exception):
    """Base of every error whose text may be shown to a person.

    `problem` says what was wrong, `action` what to do about it; neither holds a secret or document text.
    `exit_code` is what the command line ends with.
    """

    exit_code = 1
    http_status = 500

    def __init__(self, problem: str, action: str = "") -> None:
        super().__init__(f"{problem} {action}".strip())
        self.problem = problem
        self.action = action


class SettingsError(AssistantError):
    """`assistant.toml` or an environment variable has a value that cannot work."""

    exit_code = 2
    http_status = 500


class InputError(AssistantError):
    """What the caller gave cannot be used as it is."""

    exit_code = 2
    http_status = 400


class NotFoundError(AssistantError):
    """The thing does not exist, or not for this person: both read the same."""

    exit_code = 2
    http_status = 404


class BusyError(AssistantError):
    """Another run, or another writer, holds what is needed."""

    http_status = 409


class FullError(AssistantError):
    """There is no room left where something had to be kept."""

    http_status = 507


class UnreachableError(AssistantError):
    """Something outside this process that is needed does not answer, or cannot be read."""

    http_status = 503


class LimitError(AssistantError):
    """A limit was reached: number, rate or money."""

    http_status = 429


class PolicyError(AssistantError):
    """What was asked for is not to be asked here, by a rule of this installation."""

    exit_code = 2
    http_status = 403


class ReleaseError(AssistantError):
    """A release cannot be opened, checked or activated."""

    http_status = 503


class ParseError(AssistantError):
    """A file cannot be read as a document; `problem` is the reason an admin sees."""


class ModelError(AssistantError):
    """A model call failed. `outcome` is the ledger's word for how."""

    http_status = 502

    def __init__(self, problem: str, action: str = "", *, outcome: str = "error") -> None:
        super().__init__(problem, action)
        self.outcome = outcome
