"""What can go wrong before or while the stack runs, each as one message that says what to do next.

LaunchError
├── AlreadyRunning     another launcher holds this data folder
├── PortInUse          somebody else listens on a port we need
├── MissingBinaries    no usable Postgres or Valkey on this machine
├── StoreFailed        an embedded store did not start; its last lines are in the message
└── ProcessFailed      a service stopped by itself or never became ready; likewise
"""


class LaunchError(Exception):
    """Shown to the user as it is, without a traceback; the command then exits with 1."""


class AlreadyRunning(LaunchError):
    pass


class PortInUse(LaunchError):
    pass


class MissingBinaries(LaunchError):
    pass


class StoreFailed(LaunchError):
    pass


class ProcessFailed(LaunchError):
    pass
